"""The brokers that the contract is tested with, and what each of them can do."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

import pytest

from sse_service.brokers.base import Broker
from sse_service.brokers.memory.broker import MemoryBroker
from sse_service.brokers.valkey.broker import ValkeyBroker
from tests.contracts.clock import Clock
from tests.contracts.example_broker import ExampleBroker, Store
from tests.contracts.lossy_broker import LossyBroker
from tests.integration.valkey import Valkey


@dataclass(frozen=True, slots=True, kw_only=True)
class Features:
    """In what brokers may differ."""

    shared: bool = False
    """Several tasks can have one store: one order, one History, one dedupe window."""
    connects: bool = False
    """It has to reach its store, by ``run``; before that its calls raise Unavailable."""
    detects_losses: bool = False
    """It implements ``DetectsLosses``."""


FEATURES = {
    "memory": Features(),
    "valkey": Features(shared=True, connects=True, detects_losses=True),
    "example": Features(shared=True, connects=True),
    "lossy": Features(detects_losses=True),
}


def having(**features: bool) -> pytest.MarkDecorator:
    """Run a test with the brokers that have these features, or lack those given as False."""
    names = [
        name for name, found in FEATURES.items() if all(getattr(found, key) is has for key, has in features.items())
    ]
    return pytest.mark.parametrize("make", names, indirect=True)


class Maker(Protocol):
    """Makes brokers of one kind on one store."""

    features: Features

    def empty(self, clock: Clock) -> None:
        """Empty the store, and let it use the clock."""

    def tell(self, clock: Clock) -> None:
        """Tell the store the clock's time."""

    def __call__(self, *, clock: Clock, **settings: Any) -> Broker:
        """Make a broker; the settings are the listener, the metrics, and the limits."""
        ...


class MakeMemory:
    def __init__(self, kind: type[MemoryBroker], features: Features) -> None:
        self._kind = kind
        self.features = features

    def empty(self, clock: Clock) -> None: ...

    def tell(self, clock: Clock) -> None: ...

    def __call__(self, *, clock: Clock, **settings: Any) -> Broker:
        return self._kind(clock=clock, **settings)


class MakeExample:
    features = FEATURES["example"]

    def empty(self, clock: Clock) -> None:
        self._store = Store(clock)

    def tell(self, clock: Clock) -> None: ...

    def __call__(self, *, clock: Clock, **settings: Any) -> Broker:
        return ExampleBroker(store=self._store, **settings)


class MakeValkey:
    """On a real server whose scripts read the test's clock instead of TIME."""

    features = FEATURES["valkey"]

    def __init__(self, server: Valkey) -> None:
        self._url = server.url
        self._client = server.client()

    def empty(self, clock: Clock) -> None:
        self._client.flushall()
        self.tell(clock)

    def tell(self, clock: Clock) -> None:
        # A plain SET is refused when memory is full.
        script = "#!lua flags=allow-oom\nredis.call('SET', KEYS[1], ARGV[1])"
        self._client.eval(script, 1, "clock", int(clock() * 1_000_000))

    def __call__(self, *, clock: Clock, **settings: Any) -> Broker:
        return ValkeyBroker(url=self._url, on_lost=lambda _: None, **settings)


def memory(kind: str) -> MakeMemory:
    return MakeMemory({"memory": MemoryBroker, "lossy": LossyBroker}[kind], FEATURES[kind])
