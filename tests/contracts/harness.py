"""Runs a broker for a test, with a clock that the test moves."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Sequence
from typing import Any, Self, TypeVar

from sse_service.brokers.base import Broker, Entry, Page
from sse_service.model.cursor import Cursor
from sse_service.model.events import Event, Route
from sse_service.model.revocations import Revocation, RevocationTable
from sse_service.telemetry.metrics import Metrics
from tests.contracts.brokers import BrokerFactory
from tests.contracts.clock import Clock
from tests.integration.until import until

T = TypeVar("T")

CHANNELS = ("user:0", "user:1", "user:2", "user:3", "group:1", "broadcast")
"""The channels whose live events every harness subscribes to."""


def route(event_id: str, *channels: str, data: str = "x") -> Route:
    return Route(Event(event_id, data), channels or ("user:1",))


def ids(entries: Sequence[Entry]) -> list[str]:
    return [entry.event.id for entry in entries]


class BrokerHarness:
    """The broker of one task, with what its listener got in ``live``, and what its OnRevoked got in ``revoked``."""

    def __init__(
        self, factory: BrokerFactory, *, shares_store_with: BrokerHarness | None = None, **settings: object
    ) -> None:
        """The store is empty, unless it is shared with another broker."""
        self._factory = factory
        self._settings = settings
        self.live: list[Entry] = []
        self.revoked: list[Revocation] = []
        self.metrics = Metrics()
        self._owns_loop = shares_store_with is None
        self._runner = asyncio.Runner() if shares_store_with is None else shares_store_with._runner
        self.clock = Clock() if shares_store_with is None else shares_store_with.clock
        if shares_store_with is None:
            factory.reset(self.clock)
        self.table = RevocationTable(clock=self.clock)
        self.broker = self.unstarted()
        self.run(self._start())

    def other_task(self) -> Self:
        """Start the broker of another task of the same service."""
        return type(self)(self._factory, shares_store_with=self, **self._settings)

    def unstarted(self) -> Broker:
        """Make a broker that is not running."""
        return self._factory(
            listener=self.live.extend,
            revocations=self.table,
            on_revoked=self.revoked.extend,
            metrics=self.metrics,
            clock=self.clock,
            **self._settings,
        )

    def cut_off(self) -> None:
        """End the broker's connections, as an outage does."""

        async def work() -> None:
            self._running.cancel()
            await asyncio.wait([self._running])

        self.run(work())

    def come_back(self) -> None:
        """Let the broker connect again."""

        async def work() -> None:
            self._running = asyncio.create_task(self.broker.run())

        self.run(work())

    def revoke(self, *revocations: Revocation) -> None:
        self.run(self.broker.revoke(revocations))

    def has(self, *revocations: Revocation) -> bool:
        """Whether this task knows exactly these revocations, and has reported each of them."""
        wanted = set(revocations)
        return set(self.table.entries()) == wanted and wanted <= set(self.revoked)

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """Run a coroutine on the broker's event loop, at the clock's time."""
        self._factory.set_time(self.clock)
        return self._runner.run(work)

    def close(self) -> None:
        if self._owns_loop:
            self._runner.close()

    def publish(self, *routes: Route) -> None:
        """Publish, and wait until the listener has everything."""

        async def work() -> None:
            await self.broker.publish(routes)
            await self._wait_for_delivery()

        self.run(work())

    def wait_for_delivery(self) -> None:
        """Wait until the listener has everything that is stored."""
        self.run(self._wait_for_delivery())

    def position(self) -> Cursor:
        return self.run(self.broker.position())

    def delivered(self) -> Cursor:
        async def work() -> Cursor:
            await self._wait_for_delivery()
            return self.broker.delivered()

        return self.run(work())

    def replay(self, after: Cursor | None, *channels: str, limit: int = 100) -> Page:
        return self.run(self.broker.replay(channels or ("user:1",), after, limit))

    async def _start(self) -> None:
        await self.broker.check()
        self._running = asyncio.create_task(self.broker.run())
        await until(lambda: self.broker.trouble is None, every=0.001)
        await self.broker.subscribe(CHANNELS)

    async def _wait_for_delivery(self) -> None:
        here = await self.broker.position()
        await until(lambda: self.broker.delivered().offset >= here.offset, every=0.001)
