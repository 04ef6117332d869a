"""Which clients and calls take the fast path, and what its status says."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

import pytest
import uvloop
from aiobotocore.httpsession import AIOHTTPSession

from consumers.sqs.fast.connection_pool import ConnectionPool, ConnectionUnavailable
from consumers.sqs.fast.status import OPERATIONS, FastPathStatus
from tests.integration.sqs_clients import ask, client
from tests.integration.sqs_scripted_server import Exchange, scripted_server, succeed


def run(test: Callable[[], Coroutine[Any, Any, Any]]) -> Any:
    return uvloop.run(test())


def silent(exchange: Exchange) -> None:
    """Leave the poll open."""


@pytest.fixture
def never_fast(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let every call fail that the fast path sends."""

    async def send(self: ConnectionPool, request: bytes) -> Any:
        raise AssertionError("the fast path")

    monkeypatch.setattr(ConnectionPool, "send", send)


def test_after_receives_and_deletes_the_fast_path_is_in_use() -> None:
    async def test() -> None:
        status = FastPathStatus()
        async with scripted_server(succeed) as server, client(server.url, fast=True, status=status) as sqs:
            for operation in OPERATIONS:
                await ask(sqs, operation)
                assert "amz-sdk-request" not in server.requests[-1].headers
                assert status.in_use

    run(test)


@pytest.mark.usefixtures("never_fast")
@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"retries": {"mode": "adaptive", "total_max_attempts": 1}}, "the retry mode is not standard or legacy"),
        ({"http_session_cls": type("Other", (AIOHTTPSession,), {})}, "the HTTP session is not aiobotocore's own"),
    ],
    ids=["retries", "http_session_cls"],
)
def test_a_client_that_is_not_eligible_is_used_unchanged_and_the_status_has_the_reason(
    options: dict[str, Any], reason: str
) -> None:
    async def test() -> None:
        status = FastPathStatus()
        async with scripted_server(succeed) as server, client(server.url, fast=True, status=status, **options) as sqs:
            assert (await ask(sqs, "ReceiveMessage"))[0]["Messages"]
        assert len(server.requests) == 1
        assert status.reason == reason

    run(test)


@pytest.mark.usefixtures("never_fast")
def test_the_setting_turns_the_fast_path_off() -> None:
    async def test() -> None:
        status = FastPathStatus(enabled=False)
        async with scripted_server(succeed) as server, client(server.url, fast=True, status=status) as sqs:
            assert (await ask(sqs, "ReceiveMessage"))[0]["Messages"]
        assert (status.in_use, status.reason) == (False, "turned off by the setting")

    run(test)


@pytest.mark.usefixtures("never_fast")
def test_calls_to_an_endpoint_with_a_path_or_a_proxy_are_left_to_aiobotocore() -> None:
    async def test(url: str, reason: str, **options: Any) -> None:
        status = FastPathStatus()
        async with client(url, fast=True, status=status, **options) as sqs:
            assert (await ask(sqs, "ReceiveMessage"))[0]["Messages"]
        assert (status.in_use, status.reason) == (False, reason)

    async def both() -> None:
        async with scripted_server(succeed) as server:
            await test(f"{server.url}/path", "the endpoint is not a bare scheme and host name")
            await test("http://sqs.invalid", "a proxy is set for the endpoint", proxies={"http": server.url})

    run(both)


def test_the_status_shows_that_only_aiobotocore_can_connect(monkeypatch: pytest.MonkeyPatch) -> None:
    """A future release may change a private method. Calls must work then, and the operator must be told."""
    status = FastPathStatus()

    async def unavailable(self: ConnectionPool, request: bytes) -> Any:
        raise ConnectionUnavailable("no connection could be made (TypeError)")

    async def test() -> None:
        async with scripted_server(succeed) as server, client(server.url, fast=True, status=status) as sqs:
            await ask(sqs, "ReceiveMessage")
            assert status.in_use
            with monkeypatch.context() as broken:
                broken.setattr(ConnectionPool, "send", unavailable)
                for _ in range(3):
                    assert (await ask(sqs, "ReceiveMessage"))[0]["Messages"]
            assert (status.in_use, status.reason) == (False, "no connection could be made (TypeError)")
            await ask(sqs, "ReceiveMessage")
            assert status.in_use

    run(test)


def test_an_unreachable_endpoint_does_not_change_the_status() -> None:
    async def test() -> None:
        status = FastPathStatus()
        async with scripted_server(succeed) as server:
            pass
        async with client(server.url, fast=True, status=status) as sqs:
            for _ in range(4):
                assert await ask(sqs, "ReceiveMessage") == "EndpointConnectionError"
        assert status.reason is None

    run(test)


def test_aiobotocore_makes_calls_beyond_the_limit_of_connections() -> None:
    async def test() -> None:
        async with (
            scripted_server(silent, succeed) as server,
            client(server.url, fast=True, max_pool_connections=1) as sqs,
        ):
            poll = asyncio.create_task(ask(sqs, "ReceiveMessage"))
            await server.until(lambda: len(server.requests) == 1)
            assert (await ask(sqs, "DeleteMessageBatch"))[0]["Successful"]
            assert "amz-sdk-request" in server.requests[1].headers
            poll.cancel()
            await asyncio.gather(poll, return_exceptions=True)

    run(test)
