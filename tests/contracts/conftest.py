"""Runs each test of the contract with every broker, or with those that have a feature."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
import redis

from sse_service.brokers.valkey import prober, scripts
from tests.contracts.brokers import FEATURES, MakeExample, Maker, MakeValkey, memory
from tests.contracts.setup import Setup
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
def make(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Maker:
    if request.param == "example":
        return MakeExample()
    if request.param != "valkey":
        return memory(request.param)
    source = scripts.source

    def with_the_tests_clock(name: str) -> bytes:
        text = source(name)
        assert b"redis.call('TIME')" in text
        return text.replace(b"redis.call('TIME')", b"{0, redis.call('GET', 'clock')}")

    monkeypatch.setattr(scripts, "source", with_the_tests_clock)
    monkeypatch.setattr(prober, "PROBE_SECONDS", 0.002)
    return MakeValkey(request.getfixturevalue("server"))


@pytest.fixture
def setup_of(make: Maker) -> Iterator[Callable[..., Setup]]:
    """Makes setups, and closes them."""
    made: list[Setup] = []

    def build(**settings: object) -> Setup:
        made.append(Setup(make, **settings))
        return made[-1]

    yield build
    for setup in made:
        setup.close()
