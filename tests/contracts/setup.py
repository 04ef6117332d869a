"""A broker under test, on a clock that the test moves."""

import asyncio
from collections.abc import Callable

from sse_service.brokers.base import Broker, Entry, Page
from sse_service.cursor import Cursor
from sse_service.events import Event, Route
from sse_service.metrics import Metrics


class Clock:
    """A store's clock that a test moves."""

    def __init__(self) -> None:
        self.now = 1_790_000_000.0

    def __call__(self) -> float:
        return self.now


def route(event_id: str, *channels: str, data: str = "x") -> Route:
    return Route(Event(event_id, data), channels or ("user:1",))


Make = Callable[..., Broker]


class Setup:
    """One broker under test, with what its listener was handed."""

    def __init__(self, make: Make, **settings: object) -> None:
        self.clock = Clock()
        self.live: list[Entry] = []
        self.metrics = Metrics()
        self.broker = make(listener=self.live.append, metrics=self.metrics, clock=self.clock, **settings)

    def publish(self, *routes: Route) -> None:
        asyncio.run(self.broker.publish(routes))

    def position(self) -> Cursor:
        return asyncio.run(self.broker.position())

    def replay(self, after: Cursor | None, *channels: str, limit: int = 100) -> Page:
        return asyncio.run(self.broker.replay(channels or ("user:1",), after, limit))
