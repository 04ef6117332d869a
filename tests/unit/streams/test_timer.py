"""The timer keeps silent streams open, and ends expired, old and stalled ones."""

from __future__ import annotations

import gc
import json
import random
import re
import time
from contextlib import ExitStack

import pytest

from sse_service.model.reasons import CloseReason
from sse_service.protocols.sse.encoding import HEARTBEAT
from sse_service.streams.sink import Progress
from sse_service.streams.timer import STALLED_SECONDS, Timer
from tests.unit.sinks import MemorySink
from tests.unit.task import Task, wait_until


class MovedTimer(Timer):
    """A Timer whose clocks the test moves."""

    def __init__(self, task: Task, *, heartbeat: int = 15, history: float = 3600) -> None:
        self.task = task
        self.wall_ahead = time.time() - task.clock
        super().__init__(
            streams=task.streams,
            broker=task.broker,
            heartbeat_seconds=heartbeat,
            history_seconds=history,
            clock=lambda: task.clock,
            wall_clock=lambda: task.clock + self.wall_ahead,
        )

    async def after(self, seconds: float) -> None:
        """Tick when this time has passed."""
        self.task.clock += seconds
        await self.tick()


def make_timer(task: Task, *, heartbeat: int = 15) -> MovedTimer:
    return MovedTimer(task, heartbeat=heartbeat)


async def run_ticks(timer: MovedTimer, seconds: int) -> None:
    for _ in range(seconds):
        await timer.after(1)


def test_a_silent_stream_gets_a_heartbeat_before_its_interval_is_over() -> None:
    task, sink = Task(), MemorySink()

    async def body() -> None:
        with task.open(sink) as subscription:
            await wait_until(lambda: subscription.live)
            timer = make_timer(task)
            sink.written = b""
            for number in range(1, 4):
                # A tick early: at the next one, the silence might be longer than the interval.
                await run_ticks(timer, 13)
                assert sink.written == HEARTBEAT * (number - 1)
                await run_ticks(timer, 1)
                assert sink.written == HEARTBEAT * number

    task.run(body)


@pytest.mark.parametrize("heartbeat", [1, 2, 15, 45])
def test_no_silence_is_longer_than_the_interval_whenever_events_come(heartbeat: int) -> None:
    task, sink, chosen = Task(), MemorySink(), random.Random(heartbeat)

    async def body() -> None:
        with task.open(sink) as subscription:
            await wait_until(lambda: subscription.live)
            timer, heartbeats = MovedTimer(task, heartbeat=heartbeat), 0
            last_write = task.clock
            for _ in range(1000):
                first = chosen.random()
                task.clock += first
                if chosen.random() < 1 / heartbeat:
                    await task.publish("x")
                    last_write = task.clock
                before = sink.writes
                await timer.after(1 - first)
                if sink.writes != before:
                    heartbeats += 1
                    assert task.clock - last_write <= heartbeat
                    last_write = task.clock
                assert task.clock - last_write < heartbeat
            assert heartbeats > 5

    task.run(body)


def test_ticks_that_come_early_or_late_delay_no_heartbeat() -> None:
    task, sink = Task(), MemorySink()

    async def body() -> None:
        with task.open(sink) as subscription:
            await wait_until(lambda: subscription.live)
            timer = make_timer(task)
            sink.written = b""
            for _ in range(14):
                await timer.after(0.99)
            assert sink.written == HEARTBEAT
            await timer.after(0.14)
            for _ in range(14):
                await timer.after(1.02)
            assert sink.written == HEARTBEAT * 2

    task.run(body)


def test_ticks_that_were_missed_are_made_up_for_by_one() -> None:
    task, sinks = Task(), [MemorySink(), MemorySink()]

    async def body() -> None:
        timer = make_timer(task)
        with task.open(sinks[0]) as first:
            await wait_until(lambda: first.live)
            await timer.after(1)
            with task.open(sinks[1]) as second:
                await wait_until(lambda: second.live)
                for sink in sinks:
                    sink.written = b""
                await timer.after(1)
                await timer.after(40)
                assert [sink.written for sink in sinks] == [HEARTBEAT, HEARTBEAT]

    task.run(body)


def test_a_stream_that_is_not_due_is_not_looked_at() -> None:
    task, sink = Task(), MemorySink()

    async def body() -> None:
        with task.open(sink) as subscription:
            await wait_until(lambda: subscription.live)
            timer = make_timer(task)
            await run_ticks(timer, 2)
            sink.progress = None  # type: ignore[assignment]  # a call would be an error
            await run_ticks(timer, 11)

    task.run(body)


def test_a_stream_that_has_ended_is_not_kept_in_memory() -> None:
    task, sink = Task(), MemorySink()

    async def body() -> None:
        timer = make_timer(task)
        with task.open(sink) as subscription:
            await wait_until(lambda: subscription.live)
            # It waits for its next look, and its peer has bytes pending.
            sink.state = Progress(0, pending=True)
            await run_ticks(timer, 3)
        await run_ticks(timer, 1)
        assert not [each for each in gc.get_referrers(subscription) if isinstance(each, (set, dict))]

    task.run(body)


def test_a_stream_that_ends_while_it_is_looked_at_is_not_looked_at_again() -> None:
    task, sink = Task(), MemorySink()

    async def body() -> None:
        timer = make_timer(task)
        with ExitStack() as opened:
            subscription = opened.enter_context(task.open(sink))
            await wait_until(lambda: subscription.live)

            def end() -> Progress:
                opened.close()
                return Progress(0, pending=False)

            sink.progress = end  # type: ignore[method-assign]  # the client leaves now
            await run_ticks(timer, 15)
            assert subscription.look_at == 0

    task.run(body)


def test_a_vanished_peer_of_a_silent_stream_is_cut_within_45_seconds() -> None:
    task, sink = Task(), MemorySink()

    async def body() -> None:
        with task.open(sink) as subscription:
            await wait_until(lambda: subscription.live)
            timer = make_timer(task)
            await run_ticks(timer, 1)
            # The peer vanishes now. No bytes are pending until the heartbeat.
            seconds = 1
            while not sink.aborted:
                await run_ticks(timer, 1)
                seconds += 1
                sink.state = Progress(7, pending=HEARTBEAT in sink.written, silent_seconds=seconds)
            assert 43 <= seconds <= 45
            assert subscription.close_reason is CloseReason.SLOW

    task.run(body)


@pytest.mark.parametrize("seed", range(40))
def test_a_peer_that_vanishes_is_cut_after_30_and_within_45_seconds_whenever_events_come(seed: int) -> None:
    task, sink, chosen = Task(), MemorySink(), random.Random(seed)

    async def body() -> None:
        with task.open(sink) as subscription:
            await wait_until(lambda: subscription.live)
            timer = make_timer(task)
            rate = chosen.choice([0, 0.05, 0.3, 1])
            vanishes = task.clock + chosen.uniform(1, 60)
            acknowledged, acknowledged_at, pending_since = sink.writes, task.clock, 0.0

            def acknowledge() -> None:
                nonlocal acknowledged, acknowledged_at, pending_since
                if task.clock < vanishes and sink.writes > acknowledged:
                    acknowledged, acknowledged_at = sink.writes, task.clock
                pending = sink.writes > acknowledged
                pending_since = pending_since or (task.clock if pending else 0)
                sink.state = Progress(acknowledged, pending=pending, silent_seconds=task.clock - acknowledged_at)

            while not sink.aborted:
                first = chosen.random()
                task.clock += first
                acknowledge()
                if chosen.random() < rate:
                    await task.publish("x")
                acknowledge()
                task.clock += 1 - first
                acknowledge()
                await timer.tick()
                acknowledge()
            # A tick less than 30 s, because the next tick may be too late.
            assert task.clock - pending_since >= STALLED_SECONDS - 1
            assert task.clock - vanishes <= 45

    task.run(body)


@pytest.mark.parametrize("rate", [0, 0.05, 0.3, 1])
def test_a_peer_that_is_slow_to_acknowledge_is_not_cut(rate: float) -> None:
    task, sink, chosen = Task(), MemorySink(), random.Random(1)

    async def body() -> None:
        with task.open(sink) as subscription:
            await wait_until(lambda: subscription.live)
            timer = make_timer(task)
            acknowledged, acknowledged_at, waiting = sink.writes, task.clock, 0
            for _ in range(2000):
                if chosen.random() < rate:
                    await task.publish("x")
                task.clock += 1
                waiting = waiting + 1 if sink.writes > acknowledged else 0
                # It takes 28 s to acknowledge what it got first, and then everything.
                if waiting >= 28:
                    acknowledged, acknowledged_at, waiting = sink.writes, task.clock, 0
                pending = sink.writes > acknowledged
                sink.state = Progress(acknowledged, pending=pending, silent_seconds=task.clock - acknowledged_at)
                await timer.tick()
            assert not sink.aborted

    task.run(body)


def test_an_acknowledgement_after_a_heartbeat_restarts_the_30_seconds() -> None:
    task, sink = Task(), MemorySink()

    async def body() -> None:
        with task.open(sink) as subscription:
            await wait_until(lambda: subscription.live)
            timer = make_timer(task)
            await run_ticks(timer, 14)
            assert HEARTBEAT in sink.written
            task.clock += 0.1
            await task.publish("x")
            sink.state = Progress(100, pending=True)
            await run_ticks(timer, 5)
            sink.state = Progress(200, pending=True)
            await run_ticks(timer, 28)
            assert not sink.aborted
            await run_ticks(timer, 16)
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


def test_a_stream_ends_within_two_seconds_of_its_expiry_whenever_that_is() -> None:
    for expires_in in (0.1, 1, 7.3, 13.9, 20, 3601):
        task, sink = Task(), MemorySink()

        async def body(task: Task = task, sink: MemorySink = sink, expires_in: float = expires_in) -> None:
            timer = make_timer(task)
            expires = int(task.clock + timer.wall_ahead + expires_in)
            with task.open(sink, expires=expires) as subscription:
                await wait_until(lambda: subscription.live)
                while not subscription.closed:
                    await run_ticks(timer, 1)
            late = task.clock + timer.wall_ahead - expires
            assert subscription.close_reason is CloseReason.EXPIRED
            assert 0 <= late < 2

        task.run(body)


def test_streams_that_expire_because_the_wall_clock_is_set_end_at_the_next_tick() -> None:
    task, sink = Task(), MemorySink()

    async def body() -> None:
        timer = make_timer(task)
        with task.open(sink, expires=int(time.time()) + 3600) as subscription:
            await wait_until(lambda: subscription.live)
            await run_ticks(timer, 3)
            timer.wall_ahead += 3600
            await run_ticks(timer, 1)
            assert subscription.close_reason is CloseReason.EXPIRED

    task.run(body)


def test_a_wall_clock_that_is_set_back_ends_no_stream_and_delays_no_heartbeat() -> None:
    task, sink = Task(), MemorySink()

    async def body() -> None:
        timer = make_timer(task)
        with task.open(sink, expires=int(time.time()) + 60) as subscription:
            await wait_until(lambda: subscription.live)
            await run_ticks(timer, 3)
            timer.wall_ahead -= 3600
            sink.written = b""
            await run_ticks(timer, 11)
            assert sink.written == HEARTBEAT
            await run_ticks(timer, 100)
            assert not subscription.closed

    task.run(body)


def test_a_closed_stream_whose_reader_takes_no_byte_is_cut() -> None:
    task, sink = Task(), MemorySink()

    async def body() -> None:
        timer = make_timer(task)
        with task.open(sink) as subscription:
            await wait_until(lambda: subscription.live)
            await run_ticks(timer, 3)
            sink.state = Progress(1, pending=True)
            subscription.close(CloseReason.DRAIN)
            await run_ticks(timer, 45)
            assert sink.aborted
            assert subscription.close_reason is CloseReason.DRAIN

    task.run(body)


def test_an_idle_stream_gets_a_fresh_position() -> None:
    task, first, second = Task(), MemorySink(), MemorySink()

    async def body() -> None:
        timer = make_timer(task)
        with task.open(first) as subscription:
            await wait_until(lambda: subscription.live)
            task.now += 1000
            await run_ticks(timer, 20)
            assert first.types == ["stream.ready"]
            task.now += 300
            # It is looked at with each heartbeat.
            await run_ticks(timer, 14)
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
            await run_ticks(timer, STALLED_SECONDS - 2)
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
            ages = [opened.enter_context(task.open(young)).ends_at - task.clock for _ in range(10)]
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
