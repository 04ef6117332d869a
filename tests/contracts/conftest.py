"""The brokers that the contract is run against."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from sse_service.brokers.base import Broker
from sse_service.brokers.memory.broker import MemoryBroker
from sse_service.brokers.valkey import prober, scripts
from sse_service.brokers.valkey.broker import ValkeyBroker
from tests.contracts.setup import Clock, Make, Setup
from tests.integration.valkey import Valkey


class MakeMemory:
    def __call__(self, *, clock: Clock, **settings: Any) -> Broker:
        return MemoryBroker(clock=clock, **settings)

    def tell(self, clock: Clock) -> None: ...


class MakeValkey:
    """On a real server whose scripts read the test's clock in place of TIME."""

    def __init__(self, server: Valkey) -> None:
        self._url = server.url
        self._client = server.client()

    def __call__(self, *, clock: Clock, **settings: Any) -> Broker:
        self._client.flushall()
        self.tell(clock)
        return ValkeyBroker(url=self._url, on_lost=lambda _: None, **settings)

    def tell(self, clock: Clock) -> None:
        # A plain SET is refused when memory is out.
        script = "#!lua flags=allow-oom\nredis.call('SET', KEYS[1], ARGV[1])"
        self._client.eval(script, 1, "clock", int(clock() * 1_000_000))


@pytest.fixture(scope="session")
def server() -> Iterator[Valkey]:
    with Valkey() as running:
        yield running


@pytest.fixture(params=["memory", "valkey"])
def make(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Make:
    if request.param == "memory":
        return MakeMemory()
    source = scripts.source

    def at_the_tests_time(name: str) -> bytes:
        text = source(name)
        assert b"redis.call('TIME')" in text
        return text.replace(b"redis.call('TIME')", b"{0, redis.call('GET', 'clock')}")

    monkeypatch.setattr(scripts, "source", at_the_tests_time)
    monkeypatch.setattr(prober, "PROBE_SECONDS", 0.002)
    return MakeValkey(request.getfixturevalue("server"))


@pytest.fixture
def setup_of(make: Make) -> Iterator[Callable[..., Setup]]:
    """Makes setups, and closes them."""
    made: list[Setup] = []

    def build(**settings: object) -> Setup:
        made.append(Setup(make, **settings))
        return made[-1]

    yield build
    for setup in made:
        setup.close()
