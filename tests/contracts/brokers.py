"""The brokers that are tested against the contract, and their optional features."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

import pytest

from sse_service.brokers.base import Broker
from sse_service.brokers.memory.broker import MemoryBroker
from sse_service.brokers.valkey.broker import ValkeyBroker
from sse_service.brokers.valkey.scripts import REVOCATION_KEYS
from tests.contracts.clock import Clock
from tests.contracts.example_broker import ExampleBroker, Store
from tests.contracts.lossy_broker import LossyBroker
from tests.integration.valkey import Valkey


@dataclass(frozen=True, slots=True, kw_only=True)
class Features:
    """Features that only some brokers have."""

    shared: bool = False
    """Several tasks can share a store, with one order, one History and one dedupe window."""
    connects: bool = False
    """The broker connects to its store in ``run``. Before that, its methods raise Unavailable."""
    detects_losses: bool = False
    """The broker implements ``DetectsLosses``."""


FEATURES = {
    "memory": Features(),
    "valkey": Features(shared=True, connects=True, detects_losses=True),
    "example": Features(shared=True, connects=True),
    "lossy": Features(detects_losses=True),
}


def with_features(**features: bool) -> pytest.MarkDecorator:
    """Run a test only with brokers that have the features given as True, and lack those given as False."""
    names = [
        name for name, found in FEATURES.items() if all(getattr(found, key) is has for key, has in features.items())
    ]
    return pytest.mark.parametrize("factory", names, indirect=True)


class BrokerFactory(Protocol):
    """Makes brokers of one kind that share a store, if they can."""

    features: Features

    def reset(self, clock: Clock) -> None:
        """Empty the store, and make it use this clock."""

    def set_time(self, clock: Clock) -> None:
        """Set the store's time to the clock's."""

    def lose_revocations(self) -> None:
        """Let the store lose its revocations, as a restart without data does."""

    def stored_revocations(self) -> set[str]:
        """Return the keys of the revocations in the store."""
        ...

    def __call__(self, *, clock: Clock, **settings: Any) -> Broker:
        """Make a broker. ``settings`` are what it calls, the metrics and the limits."""
        ...


class MemoryFactory:
    def __init__(self, kind: type[MemoryBroker], features: Features) -> None:
        self._kind = kind
        self.features = features

    def reset(self, clock: Clock) -> None: ...

    def set_time(self, clock: Clock) -> None: ...

    def lose_revocations(self) -> None:
        raise AssertionError("it has no store")

    def stored_revocations(self) -> set[str]:
        raise AssertionError("it has no store")

    def __call__(self, *, clock: Clock, **settings: Any) -> Broker:
        return self._kind(clock=clock, **settings)


class ExampleFactory:
    features = FEATURES["example"]

    def reset(self, clock: Clock) -> None:
        self._store = Store(clock)

    def set_time(self, clock: Clock) -> None: ...

    def lose_revocations(self) -> None:
        self._store.lose_revocations()

    def stored_revocations(self) -> set[str]:
        return {each.key for each in self._store.revocations.entries()}

    def __call__(self, *, clock: Clock, **settings: Any) -> Broker:
        return ExampleBroker(store=self._store, **settings)


def with_test_clock(script: bytes) -> bytes:
    """Return the script with the test's clock in place of the server's."""
    assert b"redis.call('TIME')" in script
    return script.replace(b"redis.call('TIME')", b"{0, redis.call('GET', 'clock')}")


class ValkeyFactory:
    """Makes brokers on a real server whose scripts read the test's clock instead of TIME."""

    features = FEATURES["valkey"]

    def __init__(self, server: Valkey) -> None:
        self._url = server.url
        self._client = server.client()

    def reset(self, clock: Clock) -> None:
        self._client.flushall()
        self.set_time(clock)

    def set_time(self, clock: Clock) -> None:
        # A script, because a plain SET is refused when memory is full.
        script = "#!lua flags=allow-oom\nredis.call('SET', KEYS[1], ARGV[1])"
        self._client.eval(script, 1, "clock", int(clock() * 1_000_000))

    def lose_revocations(self) -> None:
        self._client.delete(*REVOCATION_KEYS)

    def stored_revocations(self) -> set[str]:
        return {str(key) for key in self._client.hkeys("{sse}:revoked") if ":" in str(key)}

    def __call__(self, *, clock: Clock, **settings: Any) -> Broker:
        return ValkeyBroker(url=self._url, on_lost=lambda _: None, **settings)


def memory_factory(kind: str) -> MemoryFactory:
    return MemoryFactory({"memory": MemoryBroker, "lossy": LossyBroker}[kind], FEATURES[kind])
