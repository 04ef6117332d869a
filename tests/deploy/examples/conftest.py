"""The admin port and the AWS that the examples of one file share."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import pytest

from sse_service.dev.emulator import Emulator
from sse_service.dev.moto_server import MotoServer
from tests.deploy.examples.admin_port import AdminPort
from tests.integration.emulated import create_resources


@pytest.fixture(scope="module")
def admin() -> Iterator[AdminPort]:
    with AdminPort() as port:
        yield port


@pytest.fixture(scope="module")
def server() -> Iterator[MotoServer]:
    server = MotoServer()
    yield server
    server.stop()


@pytest.fixture(scope="module")
def aws(server: MotoServer) -> Emulator:
    return asyncio.run(create_resources(Emulator(endpoint_url=server.url), visibility_seconds=60))


@pytest.fixture
def environment(aws: Emulator, monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """Set the environment variables of a Lambda function."""
    for name, value in {**aws.environment, "TOPIC_ARN": aws.topic_arn, "NO_PROXY": "127.0.0.1"}.items():
        monkeypatch.setenv(name, value)
    return monkeypatch
