"""A drain refuses new streams, and closes each open one with ``stream.close``."""

from __future__ import annotations

import asyncio
import json
import time
from contextlib import ExitStack

import pytest

from sse_service.model.errors import Overloaded
from sse_service.streams.drain import Drain
from tests.unit.sinks import MemorySink
from tests.unit.task import Task, wait_until


class DrainedTask:
    """The drain of a task, with a stand-in for its consumer."""

    def __init__(self, task: Task, *, seconds: float, finishes: bool = True) -> None:
        self.stopped = False
        self._finishes = finishes
        self.consumer_done = asyncio.Event()
        self.health = task.health
        self.drain = Drain(
            streams=task.streams,
            health=self.health,
            stop_consumer=self._stop,
            consumer_done=self.consumer_done,
            seconds=seconds,
        )

    def _stop(self) -> None:
        self.stopped = True
        if self._finishes:
            self.consumer_done.set()


def test_every_stream_is_closed_and_told_when_to_reconnect() -> None:
    task, sinks = Task(), [MemorySink() for _ in range(5)]

    async def body() -> None:
        drained = DrainedTask(task, seconds=0.2)
        with ExitStack() as opened:
            subscriptions = [opened.enter_context(task.open(sink)) for sink in sinks]
            await wait_until(lambda: all(s.live for s in subscriptions))
            running = asyncio.create_task(drained.drain.run())
            await wait_until(lambda: drained.stopped)
            assert drained.health.draining
            with pytest.raises(Overloaded, match="drain"):
                task.admit()
            assert sum(s.closed for s in subscriptions) < len(sinks)
            await running
            assert all(s.closed for s in subscriptions)

    task.run(body)
    for sink in sinks:
        assert sink.types == ["stream.ready", "stream.close"]
        assert json.loads(sink.messages[-1].data) == {"reason": "drain", "reconnect": True}
        assert b"event: stream.close\nretry: " in sink.written


def test_close_now_closes_all_remaining_streams() -> None:
    task, sinks = Task(), [MemorySink() for _ in range(5)]

    async def body() -> None:
        drained = DrainedTask(task, seconds=3600)
        with ExitStack() as opened:
            subscriptions = [opened.enter_context(task.open(sink)) for sink in sinks]
            running = asyncio.create_task(drained.drain.run())
            await wait_until(lambda: drained.stopped)
            drained.drain.close_now()
            await running
            assert all(s.closed for s in subscriptions)

    task.run(body)


def test_a_drain_without_streams_lasts_a_minimum_time_behind_a_load_balancer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sse_service.streams.drain.MIN_OPEN_SECONDS", 0.2)
    for seconds, least in ((3600, 0.2), (0.1, 0.1)):

        async def body(seconds: float = seconds, least: float = least) -> None:
            drained = DrainedTask(Task(), seconds=seconds)
            drained.health.note_probe()
            began = time.monotonic()
            await drained.drain.run()
            assert time.monotonic() - began >= least

        asyncio.run(body())


def test_the_drain_waits_for_the_consumer_up_to_its_time_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sse_service.streams.drain.MIN_OPEN_SECONDS", 0)

    async def finishes() -> None:
        drained = DrainedTask(Task(), seconds=3600, finishes=False)
        drained.health.note_probe()
        running = asyncio.create_task(drained.drain.run())
        await wait_until(lambda: drained.stopped)
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.1):
                await asyncio.shield(running)
        drained.consumer_done.set()
        await running

    async def never() -> None:
        drained = DrainedTask(Task(), seconds=0.2, finishes=False)
        drained.health.note_probe()
        began = time.monotonic()
        await drained.drain.run()
        assert time.monotonic() - began >= 0.2

    asyncio.run(finishes())
    asyncio.run(never())


def test_without_streams_and_load_balancer_the_drain_waits_for_nothing() -> None:
    async def body() -> None:
        drained = DrainedTask(Task(), seconds=3600, finishes=False)
        await drained.drain.run()
        assert drained.stopped
        assert drained.health.draining

    asyncio.run(body())


def test_a_load_balancer_that_has_not_asked_for_long_does_not_count(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 1000.0
    monkeypatch.setattr("sse_service.telemetry.health.time.monotonic", lambda: now)
    health = Task().health
    assert not health.probed
    health.note_probe()
    now += 300  # the longest interval of an ALB
    assert health.probed
    now += 60
    assert not health.probed
