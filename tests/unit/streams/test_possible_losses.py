"""A live stream that may have lost events gets a gap and a replay if it has, and nothing if it has not."""

from __future__ import annotations

import json
from typing import Any

import pytest

from sse_service.model.cursor import new_epoch
from sse_service.model.errors import Unavailable
from tests.contracts.lossy_broker import LossyBroker
from tests.unit.sinks import MemorySink
from tests.unit.task import Task, wait_until


def gaps(sink: MemorySink) -> list[str]:
    return [json.loads(m.data)["reason"] for m in sink.messages if m.type == "stream.gap"]


def test_a_new_epoch_gives_a_live_stream_a_gap() -> None:
    task, sink = Task(), MemorySink()

    async def body() -> None:
        with task.open(sink) as subscription:
            await wait_until(lambda: subscription.live)
            await task.publish("a")
            task.broker._epoch = new_epoch(task.broker._last)
            await task.publish("b")
            task.hub.lost({"user:1": 2**60})
            await wait_until(lambda: subscription.live)
            await task.publish("c")

    task.run(body)
    assert gaps(sink) == ["epoch"]
    assert sink.data[-2:] == ["b", "c"]


def test_an_event_lost_before_a_later_event_of_another_channel_gives_a_gap_and_a_replay() -> None:
    task, sink = Task(broker=LossyBroker), MemorySink()

    async def body() -> None:
        with task.open(sink, groups=("ops",)) as subscription:
            await wait_until(lambda: subscription.live)
            await task.publish("seen")
            seen = task.broker._last
            with task.broker.losing():
                await task.publish("lost")
            await task.publish("group's", channels=("group:ops",))
            task.hub.lost({"user:1": seen})
            await wait_until(lambda: subscription.live)
            await task.publish("later")

    task.run(body)
    assert gaps(sink) == ["lost"]
    assert sink.data == ["seen", "group's", "lost", "group's", "later"]


def test_a_possible_loss_that_was_none_gives_no_gap() -> None:
    task, sink = Task(broker=LossyBroker), MemorySink()

    async def body() -> None:
        with task.open(sink, groups=("ops",)) as subscription:
            await wait_until(lambda: subscription.live)
            await task.publish("a")
            seen = task.broker._last
            await task.publish("b", channels=("group:ops",))
            task.hub.lost({"user:1": seen, "group:ops": task.broker._last, "broadcast": 0})
            await wait_until(lambda: subscription.live)

    task.run(body)
    assert gaps(sink) == []
    assert sink.data == ["a", "b"]


def test_a_possible_loss_is_still_checked_after_an_outage_of_the_broker(monkeypatch: pytest.MonkeyPatch) -> None:
    task, sink = Task(broker=LossyBroker), MemorySink()
    monkeypatch.setattr("sse_service.streams.catchup.RETRY_SECONDS", 0)
    replay, tries = task.broker.replay_after_loss, 0

    async def fail_twice(*arguments: Any) -> Any:
        nonlocal tries
        tries += 1
        if tries < 3:
            raise Unavailable
        return await replay(*arguments)

    async def body() -> None:
        with task.open(sink, groups=("ops",)) as subscription:
            await wait_until(lambda: subscription.live)
            seen = task.broker._last
            with task.broker.losing():
                await task.publish("lost")
            await task.publish("group's", channels=("group:ops",))
            monkeypatch.setattr(task.broker, "replay_after_loss", fail_twice)
            task.hub.lost({"user:1": seen})
            await wait_until(lambda: subscription.live)

    task.run(body)
    assert gaps(sink) == ["lost"]
    assert sink.data == ["group's", "lost", "group's"]
