"""The timer keeps silent streams open, and ends expired, old and stalled ones."""

from __future__ import annotations

import json
import re
import time
from contextlib import ExitStack

from sse_service.model.reasons import CloseReason
from sse_service.protocols.sse.encoding import HEARTBEAT
from sse_service.streams.sink import Progress
from sse_service.streams.timer import STALLED_SECONDS, Timer
from tests.unit.sinks import MemorySink
from tests.unit.task import Task, wait_until


def make_timer(task: Task, *, heartbeat: int = 15) -> Timer:
    return Timer(streams=task.streams, broker=task.broker, heartbeat_seconds=heartbeat, history_seconds=3600)


async def run_ticks(timer: Timer, seconds: int) -> None:
    for _ in range(seconds):
        await timer.tick()


def test_a_silent_stream_gets_a_heartbeat_at_the_interval() -> None:
    task, sink = Task(), MemorySink()

    async def body() -> None:
        with task.open(sink) as subscription:
            await wait_until(lambda: subscription.live)
            timer = make_timer(task)
            await run_ticks(timer, 1)
            sink.written = b""
            # One tick early, because at the next tick the silence may be longer than the interval.
            await run_ticks(timer, 13)
            assert sink.written == b""
            await run_ticks(timer, 1)
            assert sink.written == HEARTBEAT
            await run_ticks(timer, 14)
            assert sink.written == HEARTBEAT
            await run_ticks(timer, 1)
            assert sink.written == HEARTBEAT * 2

    task.run(body)


def test_a_tick_that_comes_a_little_early_does_not_delay_the_heartbeat_by_a_tick() -> None:
    task, sink = Task(), MemorySink()

    async def body() -> None:
        with task.open(sink) as subscription:
            await wait_until(lambda: subscription.live)
            timer = make_timer(task)
            await run_ticks(timer, 15)
            sink.written = b""
            for _ in range(15):
                await timer.tick(0.999)
            assert sink.written == HEARTBEAT

    task.run(body)


def test_a_late_tick_counts_the_time_that_has_passed() -> None:
    task, sink = Task(), MemorySink()

    async def body() -> None:
        with task.open(sink) as subscription:
            await wait_until(lambda: subscription.live)
            timer = make_timer(task)
            await run_ticks(timer, 1)
            sink.written = b""
            await timer.tick(14.5)
            assert sink.written == HEARTBEAT

    task.run(body)


def test_a_vanished_peer_of_a_silent_stream_is_cut_within_45_seconds() -> None:
    task, sink = Task(), MemorySink()

    async def body() -> None:
        with task.open(sink) as subscription:
            await wait_until(lambda: subscription.live)
            timer = make_timer(task)
            await run_ticks(timer, 1)
            # The peer vanishes now. No bytes are pending until the heartbeat.
            sink.state = Progress(7, pending=False)
            seconds = 1
            while not sink.aborted:
                await run_ticks(timer, 1)
                seconds += 1
                sink.state = Progress(7, pending=seconds >= 15)
            assert 44 <= seconds <= 45
            assert subscription.close_reason is CloseReason.SLOW

    task.run(body)


def test_an_acknowledgement_after_a_heartbeat_restarts_the_30_seconds() -> None:
    task, sink = Task(), MemorySink()

    async def body() -> None:
        with task.open(sink) as subscription:
            await wait_until(lambda: subscription.live)
            timer = make_timer(task)
            await run_ticks(timer, 15)
            assert HEARTBEAT in sink.written
            await task.publish("x")
            sink.state = Progress(100, pending=True)
            await run_ticks(timer, 5)
            sink.state = Progress(200, pending=True)
            await run_ticks(timer, 28)
            assert not sink.aborted
            await run_ticks(timer, 3)
            assert sink.aborted

    task.run(body)


def test_a_stream_with_events_gets_no_heartbeat() -> None:
    task, sink = Task(), MemorySink()

    async def body() -> None:
        with task.open(sink) as subscription:
            await wait_until(lambda: subscription.live)
            timer = make_timer(task)
            for number in range(5):
                await run_ticks(timer, 10)
                await task.publish(str(number))
            await run_ticks(timer, 1)

    task.run(body)
    assert b"\n:\n" not in sink.written


def test_a_stream_ends_when_its_token_expires() -> None:
    task, sink = Task(), MemorySink()

    async def body() -> None:
        with task.open(sink, expires=int(time.time())) as subscription:
            await wait_until(lambda: subscription.live)
            await run_ticks(make_timer(task), 1)
            assert subscription.closed

    task.run(body)
    assert json.loads(sink.messages[-1].data) == {"reason": "expired", "reconnect": False}
    assert sink.ended


def test_an_idle_stream_gets_a_fresh_position() -> None:
    task, first, second = Task(), MemorySink(), MemorySink()

    async def body() -> None:
        timer = make_timer(task)
        with task.open(first) as subscription:
            await wait_until(lambda: subscription.live)
            task.now += 1000
            await run_ticks(timer, 1)
            assert first.types == ["stream.ready"]
            task.now += 300
            await run_ticks(timer, 2)
            assert first.types == ["stream.ready", "stream.cursor"]
        task.now += 3500
        with task.open(second, last=first.messages[-1].id) as subscription:
            await wait_until(lambda: subscription.live)

    task.run(body)
    assert json.loads(second.messages[0].data)["resumed"] is True


def test_a_peer_that_acknowledges_nothing_is_cut() -> None:
    task, sink = Task(), MemorySink()
    sink.state = Progress(100, pending=True)

    async def body() -> None:
        with task.open(sink) as subscription:
            await wait_until(lambda: subscription.live)
            timer = make_timer(task)
            await run_ticks(timer, STALLED_SECONDS - 1)
            assert not sink.aborted
            await run_ticks(timer, 10)
            assert sink.aborted
            assert subscription.closed

    task.run(body)
    assert 'sse_streams_closed_total{reason="slow"} 1.0' in task.metrics.render().decode()


def test_a_slow_peer_that_acknowledges_some_bytes_is_not_cut() -> None:
    task, sink = Task(), MemorySink()

    async def body() -> None:
        with task.open(sink) as subscription:
            await wait_until(lambda: subscription.live)
            timer = make_timer(task)
            for second in range(100):
                sink.state = Progress(second // 20, pending=True)
                await run_ticks(timer, 1)

    task.run(body)
    assert not sink.aborted


def test_a_peer_without_pending_bytes_is_not_cut() -> None:
    task, sink = Task(), MemorySink()

    async def body() -> None:
        with task.open(sink) as subscription:
            await wait_until(lambda: subscription.live)
            await run_ticks(make_timer(task, heartbeat=50), 49)

    task.run(body)
    assert not sink.aborted


def test_a_stream_ends_at_its_maximum_age_and_may_reconnect() -> None:
    task, old, young = Task(max_age_seconds=0), MemorySink(), MemorySink()

    async def body() -> None:
        with task.open(old) as first:
            await wait_until(lambda: first.live)
            await run_ticks(make_timer(task), 1)
            assert first.close_reason is CloseReason.MAX_AGE

    task.run(body)
    assert json.loads(old.messages[-1].data) == {"reason": "max_age", "reconnect": True}
    assert b"event: stream.close\nretry: " in old.written

    task = Task(max_age_seconds=14_400)

    async def later() -> None:
        with ExitStack() as opened:
            ages = [opened.enter_context(task.open(young)).ends_at - time.monotonic() for _ in range(10)]
            await run_ticks(make_timer(task), 3)
            assert all(14_400 * 0.79 < age <= 14_400 for age in ages)
            assert len({round(age) for age in ages}) > 1

    task.run(later)
    assert "stream.close" not in young.types


def test_a_stream_whose_credential_expires_may_reconnect_only_if_the_same_one_may_be_accepted_again() -> None:
    for renewable in (False, True):
        task, sink = Task(), MemorySink()

        async def body(task: Task = task, sink: MemorySink = sink, *, renewable: bool = renewable) -> None:
            with task.open(sink, expires=0, renewable=renewable) as subscription:
                await wait_until(lambda: subscription.live)
                await run_ticks(make_timer(task), 1)
                assert subscription.close_reason is CloseReason.EXPIRED

        task.run(body)
        assert json.loads(sink.messages[-1].data) == {"reason": "expired", "reconnect": renewable}
        [*_, retry] = re.findall(rb"retry: (\d+)", sink.written)
        assert 1000 <= int(retry) <= 5000
