"""A broker under test, on a clock that the test moves."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any, Protocol, TypeVar

from sse_service.brokers.base import Broker, Entry, Page
from sse_service.model.cursor import Cursor
from sse_service.model.events import Event, Route
from sse_service.telemetry.metrics import Metrics
from tests.integration.until import until

T = TypeVar("T")

CHANNELS = ("user:0", "user:1", "user:2", "user:3", "group:1", "broadcast")
"""Those whose live events every setup asks for."""


class Clock:
    """A store's clock that a test moves."""

    def __init__(self) -> None:
        self.now = 1_790_000_000.0

    def __call__(self) -> float:
        return self.now


def route(event_id: str, *channels: str, data: str = "x") -> Route:
    return Route(Event(event_id, data), channels or ("user:1",))


class Make(Protocol):
    """Makes a broker with an empty store, and says the store its clock's time."""

    def __call__(self, *, clock: Clock, **settings: object) -> Broker: ...

    def tell(self, clock: Clock) -> None: ...


class Setup:
    """One broker under test, with what its listener was handed."""

    def __init__(self, make: Make, **settings: object) -> None:
        self.clock = Clock()
        self.live: list[Entry] = []
        self.metrics = Metrics()
        self._make = make
        self._runner = asyncio.Runner()
        make.tell(self.clock)
        self.broker = make(listener=self.live.extend, metrics=self.metrics, clock=self.clock, **settings)
        self.run(self._start())

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """Run something on the broker's own loop, at the clock's time."""
        self._make.tell(self.clock)
        return self._runner.run(work)

    def close(self) -> None:
        self._runner.close()

    def publish(self, *routes: Route) -> None:
        """Publish, and let the listener have all of it."""

        async def work() -> None:
            await self.broker.publish(routes)
            await self._settled()

        self.run(work())

    def position(self) -> Cursor:
        return self.run(self.broker.position())

    def delivered(self) -> Cursor:
        async def work() -> Cursor:
            await self._settled()
            return self.broker.delivered()

        return self.run(work())

    def replay(self, after: Cursor | None, *channels: str, limit: int = 100) -> Page:
        return self.run(self.broker.replay(channels or ("user:1",), after, limit))

    async def _start(self) -> None:
        self._running = asyncio.create_task(self.broker.run())
        await until(lambda: self.broker.trouble is None, every=0.001)
        await self.broker.subscribe(CHANNELS)

    async def _settled(self) -> None:
        here = await self.broker.position()
        await until(lambda: self.broker.delivered().offset >= here.offset, every=0.001)
