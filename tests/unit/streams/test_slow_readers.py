"""A reader that is slower than its events is served from History, and misses nothing unheard."""

from __future__ import annotations

import json

from sse_service.streams.backlog import QueueLimits
from tests.unit.sinks import MemorySink
from tests.unit.task import Task, settled


def gaps(sink: MemorySink) -> list[str]:
    return [json.loads(m.data)["reason"] for m in sink.messages if m.type == "stream.gap"]


def test_a_reader_that_holds_back_in_a_replay_goes_on_where_it_stopped() -> None:
    task, sink = Task(), MemorySink()
    texts = [str(n) for n in range(250)]

    async def body() -> None:
        await task.publish(*texts)
        sink.room = 30
        with task.open(sink, since="all") as subscription:
            while not subscription.live:
                await settled(lambda: subscription.paused or subscription.live)
                if subscription.paused:
                    await settled(lambda: subscription not in task.streams._catchup._waiting)
                    sink.make_room(30)

    task.run(body)
    assert sink.data == texts
    assert gaps(sink) == []


def test_a_slow_reader_past_its_queue_is_served_from_history_and_misses_nothing() -> None:
    task, sink = Task(limits=QueueLimits(events=3)), MemorySink()
    texts = [str(n) for n in range(50)]

    async def body() -> None:
        with task.open(sink) as subscription:
            await settled(lambda: subscription.live)
            sink.room = 1
            await task.publish(*texts)
            assert not subscription.live
            sink.make_room()
            await settled(lambda: subscription.live)

    task.run(body)
    assert sink.data == texts
    assert gaps(sink) == []


def test_a_slow_reader_that_history_has_overtaken_is_told_a_gap() -> None:
    task, sink = Task(history_events=5, limits=QueueLimits(events=3)), MemorySink()
    texts = [str(n) for n in range(50)]

    async def body() -> None:
        with task.open(sink) as subscription:
            await settled(lambda: subscription.live)
            sink.room = 1
            await task.publish(*texts)
            sink.make_room()
            await settled(lambda: subscription.live)

    task.run(body)
    assert gaps(sink) == ["lost"]
    assert sink.data == [*texts[:4], *texts[-5:]]
