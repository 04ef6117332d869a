"""Fixtures that run each test of the contract with every broker, or only with those that have some features."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
import redis

from sse_service.brokers.valkey import connections, prober, scripts
from tests.contracts.brokers import (
    FEATURES,
    BrokerFactory,
    ExampleFactory,
    ValkeyFactory,
    memory_factory,
    with_test_clock,
)
from tests.contracts.harness import BrokerHarness
from tests.integration.valkey import Valkey


@pytest.fixture(scope="session")
def server() -> Iterator[Valkey]:
    with Valkey() as running:
        yield running


@pytest.fixture
def client(server: Valkey) -> Iterator[redis.Redis]:
    with server.client() as connected:
        yield connected


@pytest.fixture(params=list(FEATURES))
def factory(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> BrokerFactory:
    if request.param == "example":
        return ExampleFactory()
    if request.param != "valkey":
        return memory_factory(request.param)
    source = scripts.source
    monkeypatch.setattr(scripts, "source", lambda name: with_test_clock(source(name)))
    monkeypatch.setattr(prober, "PROBE_SECONDS", 0.002)
    monkeypatch.setattr(connections, "EXCHANGE_SECONDS", 0.002)
    return ValkeyFactory(request.getfixturevalue("server"))


@pytest.fixture
def make_harness(factory: BrokerFactory) -> Iterator[Callable[..., BrokerHarness]]:
    """Makes harnesses, and closes them after the test."""
    made: list[BrokerHarness] = []

    def build(**settings: object) -> BrokerHarness:
        made.append(BrokerHarness(factory, **settings))
        return made[-1]

    yield build
    for harness in made:
        harness.close()
