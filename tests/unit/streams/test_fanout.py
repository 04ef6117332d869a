"""A broadcast is offered to all streams at once and written in slices, so that other events do not wait for it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager

import pytest

from sse_service.model.reasons import CloseReason
from sse_service.streams.hub import IMMEDIATE_WRITES
from sse_service.streams.subscription import Subscription
from tests.unit.sinks import MemorySink
from tests.unit.task import Task, wait_until

CROWD = IMMEDIATE_WRITES + 300
BROADCAST = ("broadcast",)


@contextmanager
def crowd(task: Task, sinks: Sequence[MemorySink]) -> Iterator[list[Subscription]]:
    with ExitStack() as opened:
        yield [opened.enter_context(task.open(sink, user=f"u{number}")) for number, sink in enumerate(sinks)]


def count_showing(sinks: Sequence[MemorySink], *texts: str) -> int:
    """Count the sinks that got exactly these events."""
    return sum(sink.data == list(texts) for sink in sinks)


@pytest.fixture
def task() -> Task:
    return Task(max_streams=10_000)


@pytest.fixture
def sinks() -> list[MemorySink]:
    return [MemorySink() for _ in range(CROWD)]


def test_a_user_event_is_written_while_a_broadcast_is_still_being_written(task: Task, sinks: list[MemorySink]) -> None:
    other = MemorySink()

    async def body() -> None:
        with crowd(task, sinks) as streams, task.open(other, user="other") as alone:
            await wait_until(lambda: all(stream.live for stream in (*streams, alone)))
            await task.publish("for all", channels=BROADCAST)
            await task.publish("for one", channels=("user:u0",))
            assert count_showing(sinks, "for all") + count_showing(sinks, "for all", "for one") == IMMEDIATE_WRITES
            assert sinks[0].data == ["for all", "for one"]
            await wait_until(lambda: count_showing(sinks, "for all") == CROWD - 1)
            assert other.data == ["for all"]

    task.run(body)


def test_overlapping_broadcasts_reach_each_stream_in_order(task: Task, sinks: list[MemorySink]) -> None:
    async def body() -> None:
        with crowd(task, sinks) as streams:
            await wait_until(lambda: all(stream.live for stream in streams))
            await task.publish("1", channels=BROADCAST)
            await task.publish("2", channels=(f"user:u{CROWD - 1}",))
            # The user's own event does not wait for the slices, and does not overtake the broadcast.
            assert sinks[-1].data == ["1", "2"]
            await task.publish("3", channels=BROADCAST)
            assert sinks[-1].data == ["1", "2"]
            await wait_until(lambda: count_showing(sinks, "1", "3") == CROWD - 1)
            assert sinks[-1].data == ["1", "2", "3"]
            await task.publish("4", channels=BROADCAST)
            await wait_until(lambda: count_showing(sinks, "1", "3", "4") == CROWD - 1)

    task.run(body)


def test_a_stream_with_an_unwritten_frame_is_not_idle(task: Task, sinks: list[MemorySink]) -> None:
    async def body() -> None:
        with crowd(task, sinks) as streams:
            await wait_until(lambda: all(stream.live for stream in streams))
            await task.publish("1", channels=BROADCAST)
            assert streams[0].idle
            assert not streams[-1].idle
            assert streams[-1].last_id < streams[0].last_id
            await wait_until(lambda: all(stream.idle for stream in streams))

    task.run(body)


def test_a_stream_that_closes_during_a_broadcast_gets_its_frame_first(task: Task, sinks: list[MemorySink]) -> None:
    async def body() -> None:
        with crowd(task, sinks) as streams:
            await wait_until(lambda: all(stream.live for stream in streams))
            await task.publish("1", channels=BROADCAST)
            streams[-1].close(CloseReason.MAX_AGE)
            assert sinks[-1].data == ["1"]
            assert sinks[-1].types[-1] == "stream.close"
            streams[-2].leave()
            await wait_until(lambda: count_showing(sinks, "1") == CROWD - 1)

    task.run(body)
    assert sinks[-2].data == []


def test_a_reader_that_pauses_during_a_broadcast_gets_the_event_when_it_is_writable(
    task: Task, sinks: list[MemorySink]
) -> None:
    async def body() -> None:
        with crowd(task, sinks) as streams:
            await wait_until(lambda: all(stream.live for stream in streams))
            await task.publish("1", channels=BROADCAST)
            sinks[-1].room = 1
            streams[-1].heartbeat(at=0)
            await wait_until(lambda: count_showing(sinks, "1") == CROWD - 1)
            await task.publish("2", channels=BROADCAST)
            await wait_until(lambda: count_showing(sinks, "1", "2") == CROWD - 1)
            assert sinks[-1].data == []
            sinks[-1].room = 100
            assert sinks[-1].on_writable is not None
            sinks[-1].on_writable()
            assert sinks[-1].data == ["1", "2"]

    task.run(body)


def test_a_stream_that_falls_behind_during_a_broadcast_misses_nothing(task: Task, sinks: list[MemorySink]) -> None:
    async def body() -> None:
        with crowd(task, sinks) as streams:
            await wait_until(lambda: all(stream.live for stream in streams))
            await task.publish("1", channels=BROADCAST)
            task.hub.lost({"broadcast": task.broker.delivered().offset})
            await task.publish("2", channels=BROADCAST)
            await wait_until(lambda: count_showing(sinks, "1", "2") == CROWD)

    task.run(body)
