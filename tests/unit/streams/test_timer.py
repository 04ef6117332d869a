"""The timer keeps silent streams open, and ends those that must end."""

from __future__ import annotations

import json
import time
from contextlib import ExitStack

from sse_service.model.reasons import CloseReason
from sse_service.protocols.sse.encoding import HEARTBEAT
from sse_service.streams.sink import Progress
from sse_service.streams.timer import STALLED_SECONDS, Timer
from tests.unit.sinks import MemorySink
from tests.unit.task import Task, settled


def timer(task: Task, *, heartbeat: int = 15) -> Timer:
    return Timer(streams=task.streams, broker=task.broker, heartbeat_seconds=heartbeat, history_seconds=3600)


async def tick(timer: Timer, seconds: int) -> None:
    for _ in range(seconds):
        await timer.tick()


def test_a_silent_stream_gets_a_comment_at_the_interval() -> None:
    task, sink = Task(), MemorySink()

    async def body() -> None:
        with task.open(sink) as subscription:
            await settled(lambda: subscription.live)
            clock = timer(task)
            await tick(clock, 1)
            sink.written = b""
            # At the next tick the silence may be longer than the interval.
            await tick(clock, 13)
            assert sink.written == b""
            await tick(clock, 1)
            assert sink.written == HEARTBEAT
            await tick(clock, 14)
            assert sink.written == HEARTBEAT
            await tick(clock, 1)
            assert sink.written == HEARTBEAT * 2

    task.run(body)


def test_a_tick_that_a_busy_loop_has_held_up_counts_for_the_time_that_has_passed() -> None:
    task, sink = Task(), MemorySink()

    async def body() -> None:
        with task.open(sink) as subscription:
            await settled(lambda: subscription.live)
            clock = timer(task)
            await tick(clock, 1)
            sink.written = b""
            await clock.tick(14.5)
            assert sink.written == HEARTBEAT

    task.run(body)


def test_a_silent_peer_that_has_vanished_is_cut_within_45_seconds() -> None:
    task, sink = Task(), MemorySink()

    async def body() -> None:
        with task.open(sink) as subscription:
            await settled(lambda: subscription.live)
            clock = timer(task)
            await tick(clock, 1)
            # From here on nothing arrives; only the heartbeat makes bytes wait.
            sink.state = Progress(7, pending=False)
            seconds = 1
            while not sink.aborted:
                await tick(clock, 1)
                seconds += 1
                sink.state = Progress(7, pending=seconds >= 15)
            assert 44 <= seconds <= 45
            assert subscription.close_reason is CloseReason.SLOW

    task.run(body)


def test_a_peer_that_acknowledges_an_event_after_a_heartbeat_has_30_seconds_from_there() -> None:
    task, sink = Task(), MemorySink()

    async def body() -> None:
        with task.open(sink) as subscription:
            await settled(lambda: subscription.live)
            clock = timer(task)
            await tick(clock, 15)
            assert HEARTBEAT in sink.written
            await task.publish("x")
            sink.state = Progress(100, pending=True)
            await tick(clock, 5)
            sink.state = Progress(200, pending=True)
            await tick(clock, 28)
            assert not sink.aborted
            await tick(clock, 3)
            assert sink.aborted

    task.run(body)


def test_a_stream_that_was_written_to_gets_none() -> None:
    task, sink = Task(), MemorySink()

    async def body() -> None:
        with task.open(sink) as subscription:
            await settled(lambda: subscription.live)
            clock = timer(task)
            for number in range(5):
                await tick(clock, 10)
                await task.publish(str(number))
            await tick(clock, 1)

    task.run(body)
    assert b"\n:\n" not in sink.written


def test_a_stream_ends_when_its_token_does() -> None:
    task, sink = Task(), MemorySink()

    async def body() -> None:
        with task.open(sink, expires=int(time.time())) as subscription:
            await settled(lambda: subscription.live)
            await tick(timer(task), 1)
            assert subscription.closed

    task.run(body)
    assert json.loads(sink.messages[-1].data) == {"reason": "expired", "reconnect": False}
    assert sink.ended


def test_an_idle_stream_is_told_a_young_position() -> None:
    task, first, second = Task(), MemorySink(), MemorySink()

    async def body() -> None:
        clock = timer(task)
        with task.open(first) as subscription:
            await settled(lambda: subscription.live)
            task.now += 1000
            await tick(clock, 1)
            assert first.types == ["stream.ready"]
            task.now += 300
            await tick(clock, 2)
            assert first.types == ["stream.ready", "stream.cursor"]
        task.now += 3500
        with task.open(second, last=first.messages[-1].id) as subscription:
            await settled(lambda: subscription.live)

    task.run(body)
    assert json.loads(second.messages[0].data)["resumed"] is True


def test_a_peer_that_acknowledges_nothing_is_cut() -> None:
    task, sink = Task(), MemorySink()
    sink.state = Progress(100, pending=True)

    async def body() -> None:
        with task.open(sink) as subscription:
            await settled(lambda: subscription.live)
            clock = timer(task)
            await tick(clock, STALLED_SECONDS - 1)
            assert not sink.aborted
            await tick(clock, 10)
            assert sink.aborted
            assert subscription.closed

    task.run(body)
    assert 'sse_streams_closed_total{reason="slow"} 1.0' in task.metrics.render().decode()


def test_a_peer_that_moves_slowly_is_not_cut() -> None:
    task, sink = Task(), MemorySink()

    async def body() -> None:
        with task.open(sink) as subscription:
            await settled(lambda: subscription.live)
            clock = timer(task)
            for second in range(100):
                sink.state = Progress(second // 20, pending=True)
                await tick(clock, 1)

    task.run(body)
    assert not sink.aborted


def test_a_peer_that_has_taken_all_is_not_asked_again() -> None:
    task, sink = Task(), MemorySink()

    async def body() -> None:
        with task.open(sink) as subscription:
            await settled(lambda: subscription.live)
            await tick(timer(task, heartbeat=50), 49)

    task.run(body)
    assert not sink.aborted


def test_a_stream_ends_at_its_greatest_age_to_come_back() -> None:
    task, old, young = Task(max_age_seconds=0), MemorySink(), MemorySink()

    async def body() -> None:
        with task.open(old) as first:
            await settled(lambda: first.live)
            await tick(timer(task), 1)
            assert first.close_reason is CloseReason.MAX_AGE

    task.run(body)
    assert json.loads(old.messages[-1].data) == {"reason": "max_age", "reconnect": True}
    assert b"event: stream.close\nretry: " in old.written

    task = Task(max_age_seconds=14_400)

    async def later() -> None:
        with ExitStack() as opened:
            ages = [opened.enter_context(task.open(young)).ends_at - time.monotonic() for _ in range(10)]
            await tick(timer(task), 3)
            assert all(14_400 * 0.79 < age <= 14_400 for age in ages)
            assert len({round(age) for age in ages}) > 1

    task.run(later)
    assert "stream.close" not in young.types
