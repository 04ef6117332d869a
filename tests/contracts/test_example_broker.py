"""Streams work with the example broker, so the contract is all that they need."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from tests.contracts.example_broker import ExampleBroker, Store
from tests.unit.sinks import MemorySink
from tests.unit.task import Task, wait_until


def broker(*, clock: Callable[[], float], **settings: Any) -> ExampleBroker:
    return ExampleBroker(store=Store(clock), **settings)


def test_a_stream_is_live_and_resumes_where_it_was_cut() -> None:
    task, first, second = Task(broker=broker), MemorySink(), MemorySink()

    async def body() -> None:
        with task.open(first) as subscription:
            await wait_until(lambda: subscription.live)
            await task.publish("a", "b")
            await wait_until(lambda: first.data == ["a", "b"])
        await task.publish("c")
        with task.open(second, last=first.messages[1].id) as subscription:
            await wait_until(lambda: subscription.live)
            await task.publish("d")
            await wait_until(lambda: second.data == ["b", "c", "d"])

    task.run(body)
    assert first.types == ["stream.ready", "message", "message"]
    assert second.types == ["stream.ready", "message", "message", "stream.cursor", "message"]


def test_a_stream_that_missed_more_than_the_history_holds_gets_a_gap() -> None:
    task, first, second = Task(broker=broker, history_events=2), MemorySink(), MemorySink()

    async def body() -> None:
        with task.open(first) as subscription:
            await wait_until(lambda: subscription.live)
        await task.publish("a", "b", "c")
        with task.open(second, last=first.messages[0].id) as subscription:
            await wait_until(lambda: subscription.live)

    task.run(body)
    assert second.types == ["stream.ready", "stream.gap", "message", "message", "stream.cursor"]
    assert json.loads(second.messages[1].data) == {"reason": "trimmed"}
    assert second.data == ["b", "c"]
