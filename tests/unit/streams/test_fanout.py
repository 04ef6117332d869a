"""An event for a crowd is offered to all at once and written in slices, so that nobody else waits for it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager

import pytest

from sse_service.model.reasons import CloseReason
from sse_service.streams.hub import IMMEDIATE_WRITES
from sse_service.streams.subscription import Subscription
from tests.unit.sinks import MemorySink
from tests.unit.task import Task, settled

CROWD = IMMEDIATE_WRITES + 300
EVERYBODY = ("broadcast",)


@contextmanager
def crowd(task: Task, sinks: Sequence[MemorySink]) -> Iterator[list[Subscription]]:
    with ExitStack() as opened:
        yield [opened.enter_context(task.open(sink, user=f"u{number}")) for number, sink in enumerate(sinks)]


def has(sinks: Sequence[MemorySink], *texts: str) -> int:
    """How many show exactly these events."""
    return sum(sink.data == list(texts) for sink in sinks)


@pytest.fixture
def task() -> Task:
    return Task(max_streams=10_000)


@pytest.fixture
def sinks() -> list[MemorySink]:
    return [MemorySink() for _ in range(CROWD)]


def test_anothers_event_is_written_before_the_crowd_has_the_one_before_it(task: Task, sinks: list[MemorySink]) -> None:
    other = MemorySink()

    async def body() -> None:
        with crowd(task, sinks) as streams, task.open(other, user="other") as alone:
            await settled(lambda: all(stream.live for stream in (*streams, alone)))
            await task.publish("for all", channels=EVERYBODY)
            await task.publish("for one", channels=("user:u0",))
            assert has(sinks, "for all") + has(sinks, "for all", "for one") == IMMEDIATE_WRITES
            assert sinks[0].data == ["for all", "for one"]
            await settled(lambda: has(sinks, "for all") == CROWD - 1)
            assert other.data == ["for all"]

    task.run(body)


def test_events_reach_each_of_a_crowd_in_order_however_they_overlap(task: Task, sinks: list[MemorySink]) -> None:
    async def body() -> None:
        with crowd(task, sinks) as streams:
            await settled(lambda: all(stream.live for stream in streams))
            await task.publish("1", channels=EVERYBODY)
            await task.publish("2", channels=(f"user:u{CROWD - 1}",))
            # Its own event does not wait for the crowd's turn, nor does it overtake.
            assert sinks[-1].data == ["1", "2"]
            await task.publish("3", channels=EVERYBODY)
            assert sinks[-1].data == ["1", "2"]
            await settled(lambda: has(sinks, "1", "3") == CROWD - 1)
            assert sinks[-1].data == ["1", "2", "3"]
            await task.publish("4", channels=EVERYBODY)
            await settled(lambda: has(sinks, "1", "3", "4") == CROWD - 1)

    task.run(body)


def test_no_position_is_told_past_what_is_not_written_yet(task: Task, sinks: list[MemorySink]) -> None:
    async def body() -> None:
        with crowd(task, sinks) as streams:
            await settled(lambda: all(stream.live for stream in streams))
            await task.publish("1", channels=EVERYBODY)
            assert streams[0].idle
            assert not streams[-1].idle
            assert streams[-1].last_id < streams[0].last_id
            await settled(lambda: all(stream.idle for stream in streams))

    task.run(body)


def test_a_stream_that_ends_meanwhile_is_given_what_it_was_offered_first(task: Task, sinks: list[MemorySink]) -> None:
    async def body() -> None:
        with crowd(task, sinks) as streams:
            await settled(lambda: all(stream.live for stream in streams))
            await task.publish("1", channels=EVERYBODY)
            streams[-1].close(CloseReason.MAX_AGE)
            assert sinks[-1].data == ["1"]
            assert sinks[-1].types[-1] == "stream.close"
            streams[-2].leave()
            await settled(lambda: has(sinks, "1") == CROWD - 1)

    task.run(body)
    assert sinks[-2].data == []


def test_a_reader_that_begins_to_hold_back_meanwhile_gets_it_when_it_takes_more(
    task: Task, sinks: list[MemorySink]
) -> None:
    async def body() -> None:
        with crowd(task, sinks) as streams:
            await settled(lambda: all(stream.live for stream in streams))
            await task.publish("1", channels=EVERYBODY)
            sinks[-1].room = 1
            streams[-1].heartbeat(silent_seconds=0)
            await settled(lambda: has(sinks, "1") == CROWD - 1)
            await task.publish("2", channels=EVERYBODY)
            await settled(lambda: has(sinks, "1", "2") == CROWD - 1)
            assert sinks[-1].data == []
            sinks[-1].room = 100
            assert sinks[-1].on_writable is not None
            sinks[-1].on_writable()
            assert sinks[-1].data == ["1", "2"]

    task.run(body)


def test_one_that_falls_behind_meanwhile_misses_nothing(task: Task, sinks: list[MemorySink]) -> None:
    async def body() -> None:
        with crowd(task, sinks) as streams:
            await settled(lambda: all(stream.live for stream in streams))
            await task.publish("1", channels=EVERYBODY)
            task.hub.lost({"broadcast": task.broker.delivered().offset})
            await task.publish("2", channels=EVERYBODY)
            await settled(lambda: has(sinks, "1", "2") == CROWD)

    task.run(body)
