"""A slow reader is served from History, and misses nothing without a gap."""

from __future__ import annotations

import json

from sse_service.streams.backlog import QueueLimits
from tests.unit.sinks import MemorySink
from tests.unit.task import Task, wait_until


def gaps(sink: MemorySink) -> list[str]:
    return [json.loads(m.data)["reason"] for m in sink.messages if m.type == "stream.gap"]


def test_a_replay_continues_where_a_slow_reader_paused_it() -> None:
    task, sink = Task(), MemorySink()
    texts = [str(n) for n in range(250)]

    async def body() -> None:
        await task.publish(*texts)
        sink.room = 30
        with task.open(sink, since="all") as subscription:
            while not subscription.live:
                await wait_until(lambda: subscription.paused or subscription.live)
                if subscription.paused:
                    await wait_until(lambda: subscription not in task.streams._catchup._waiting)
                    sink.make_room(30)

    task.run(body)
    assert sink.data == texts
    assert gaps(sink) == []


def test_a_slow_reader_with_a_full_queue_gets_the_rest_from_history() -> None:
    task, sink = Task(limits=QueueLimits(events=3)), MemorySink()
    texts = [str(n) for n in range(50)]

    async def body() -> None:
        with task.open(sink) as subscription:
            await wait_until(lambda: subscription.live)
            sink.room = 1
            await task.publish(*texts)
            assert not subscription.live
            sink.make_room()
            await wait_until(lambda: subscription.live)

    task.run(body)
    assert sink.data == texts
    assert gaps(sink) == []


def test_a_slow_reader_whose_events_left_the_history_gets_a_gap() -> None:
    task, sink = Task(history_events=5, limits=QueueLimits(events=3)), MemorySink()
    texts = [str(n) for n in range(50)]

    async def body() -> None:
        with task.open(sink) as subscription:
            await wait_until(lambda: subscription.live)
            sink.room = 1
            await task.publish(*texts)
            sink.make_room()
            await wait_until(lambda: subscription.live)

    task.run(body)
    assert gaps(sink) == ["lost"]
    assert sink.data == [*texts[:4], *texts[-5:]]
