"""With and without the fast path, a fault has the same outcome, error code and number of requests."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Coroutine
from typing import Any

import pytest
import uvloop
from aiobotocore.endpoint import AioEndpoint

from consumers.errors import MalformedAnswer
from consumers.sqs.fast.status import OPERATIONS
from consumers.sqs.responses import parse_response
from tests.integration.sqs_clients import ask, client
from tests.integration.sqs_scripted_server import Exchange, Step, scripted_server, succeed


def run(test: Callable[[], Coroutine[Any, Any, Any]]) -> Any:
    """Run a test on the same event loop as in production."""
    return uvloop.run(test())


@pytest.fixture(autouse=True)
def _no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    async def pause(self: AioEndpoint, seconds: float) -> None:
        await asyncio.sleep(0)

    monkeypatch.setattr(AioEndpoint, "_sleep", pause)


def error(status: str, code: str, *headers: str) -> Step:
    body = json.dumps({"__type": f"com.amazonaws.sqs#{code}", "message": "no"}).encode()
    return lambda exchange: exchange.respond(status, body, *headers)


def responds(status: str, body: bytes | None, *headers: str, length: bool = True) -> Step:
    return lambda exchange: exchange.respond(status, body, *headers, length=length)


def raw(data: Callable[[bytes], bytes], *, then: Callable[[Exchange], None] = Exchange.close) -> Step:
    def step(exchange: Exchange) -> None:
        exchange.writer.write(data(exchange.success()))
        then(exchange)

    return step


def keep_open(exchange: Exchange) -> None:
    """Leave the connection open."""


def respond_in_chunks(exchange: Exchange) -> None:
    body = exchange.success()
    chunks = b"".join(b"%x\r\n%s\r\n" % (len(part), part) for part in (body[:7], body[7:]))
    exchange.respond("200 OK", chunks + b"0\r\n\r\n", "Transfer-Encoding: chunked", length=False)


def respond_and_close(exchange: Exchange) -> None:
    exchange.respond("200 OK", None, "Connection: close")
    exchange.close()


def respond_without_length(exchange: Exchange) -> None:
    exchange.respond("200 OK", length=False)
    exchange.close()


SIZED = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s"
PARTLY = {
    "Successful": [{"Id": "1"}],
    "Failed": [{"Id": "0", "SenderFault": True, "Code": "ReceiptHandleIsInvalid", "Message": "no"}],
}
NO_QUEUE = "x-amzn-query-error: AWS.SimpleQueueService.NonExistentQueue;Sender"
FAULTS: dict[str, Step] = {
    "500": error("500 Internal Server Error", "InternalFailure"),
    "500 without a body": responds("500 Internal Server Error", b""),
    "503": error("503 Service Unavailable", "ServiceUnavailable"),
    "502 of a proxy": responds("502 Bad Gateway", b"<html>Bad gateway</html>"),
    "504 that closes the connection": responds("504 Gateway Timeout", b"{}", "Connection: close"),
    "throttled": error("400 Bad Request", "RequestThrottled", "x-amzn-query-error: RequestThrottled;Sender"),
    "throttled by 429": error("429 Too Many Requests", "ThrottlingException"),
    "over the limit": error("403 Forbidden", "OverLimit", "x-amzn-query-error: OverLimit;Sender"),
    "the queue does not exist": error("400 Bad Request", "QueueDoesNotExist", NO_QUEUE),
    "expired token": error("403 Forbidden", "ExpiredTokenException"),
    "clock skew": error("403 Forbidden", "SignatureDoesNotMatch"),
    "denied": error("403 Forbidden", "AccessDeniedException"),
    "reset": Exchange.reset,
    "close": Exchange.close,
    "closed in the head": raw(lambda body: b"HTTP/1.1 200 OK\r\nContent-Le"),
    "closed in the body": raw(lambda body: SIZED % (len(body) + 1, body)),
    "closed in a chunk": raw(lambda body: b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n9\r\nx"),
    "a malformed chunk": raw(
        lambda body: b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\n\r\n", then=keep_open
    ),
    "not HTTP": raw(lambda body: b"SSH-2.0-server\r\n\r\n"),
    "201": responds("201 Created", None),
    "204": responds("204 No Content", b"", length=False),
    "without a length, until the close": respond_without_length,
    "chunked": respond_in_chunks,
    "success that closes the connection": respond_and_close,
    "HTTP/1.0": raw(lambda body: b"HTTP/1.0 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body)),
    "100 Continue first": raw(
        lambda body: (
            b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body)
        ),
        then=keep_open,
    ),
    "partial failure": responds("200 OK", json.dumps(PARTLY).encode()),
    "an empty object": responds("200 OK", b"{}"),
}


async def outcome(
    fast: bool, operation: str, mode: str, *script: Step, calls: int = 1, attempts: int = 2, **options: Any
) -> Any:
    retries = {"mode": mode, "total_max_attempts": attempts}
    async with scripted_server(*script) as server, client(server.url, fast=fast, retries=retries, **options) as sqs:
        found = [await ask(sqs, operation) for _ in range(calls)]
        assert ("amz-sdk-request" in server.requests[0].headers) is not fast
        return found, [request.operation for request in server.requests]


def assert_equivalent(operation: str, mode: str, *script: Step, **options: Any) -> Any:
    async def test() -> Any:
        ours = await outcome(True, operation, mode, *script, **options)
        assert ours == await outcome(False, operation, mode, *script, **options)
        return ours

    return run(test)


@pytest.mark.parametrize("mode", ["standard", "legacy"])
@pytest.mark.parametrize(
    ("fault", "operation"),
    [(fault, o) for fault in FAULTS for o in OPERATIONS if (fault, o) != ("partial failure", "ReceiveMessage")],
)
def test_a_fault_has_the_same_outcome(fault: str, operation: str, mode: str) -> None:
    bad = FAULTS[fault]
    # The fault on a new and on a kept connection, in every attempt, and in a first attempt only.
    assert_equivalent(operation, mode, bad, bad, succeed, bad, succeed, succeed, bad, succeed, calls=5)


@pytest.mark.parametrize("fault", FAULTS)
def test_without_retries_a_fault_has_the_same_outcome(fault: str) -> None:
    assert_equivalent("DeleteMessageBatch", "standard", FAULTS[fault], succeed, FAULTS[fault], calls=3, attempts=1)


@pytest.mark.parametrize("operation", OPERATIONS)
def test_a_silent_server_times_out(operation: str) -> None:
    half = raw(lambda body: SIZED % (len(body) + 1, body), then=keep_open)
    for step in (keep_open, half):
        found, requests = assert_equivalent(operation, "standard", step, read_timeout=0.1)
        assert found == ["ReadTimeoutError"]
        assert len(requests) == 2
        assert_equivalent(operation, "standard", step, succeed, read_timeout=0.1)


@pytest.mark.parametrize("mode", ["standard", "legacy"])
def test_an_unreachable_server_is_the_same_error(mode: str) -> None:
    async def test(fast: bool) -> Any:
        async with scripted_server(succeed) as server:
            pass
        async with client(server.url, fast=fast, retries={"mode": mode, "total_max_attempts": 2}) as sqs:
            return await ask(sqs, "ReceiveMessage")

    assert run(lambda: test(True)) == run(lambda: test(False)) == "EndpointConnectionError"


@pytest.mark.parametrize("body", [b"<html>no</html>", b"", b"[]", b"\xff\xfe", b'{"Messages"', b"null"])
@pytest.mark.parametrize("operation", OPERATIONS)
def test_a_success_that_is_not_a_json_object_is_a_malformed_answer(operation: str, body: bytes) -> None:
    async def test(fast: bool) -> Any:
        async with scripted_server(responds("200 OK", body)) as server, client(server.url, fast=fast) as sqs:
            sqs.meta.events.register("before-parse.sqs", parse_response)
            return await ask(sqs, operation), len(server.requests)

    assert run(lambda: test(True)) == run(lambda: test(False)) == (MalformedAnswer.__name__, 1)


def test_retries_use_the_retry_quota_of_the_client() -> None:
    """botocore stops retrying when most calls fail. First attempts on the fast path count too."""

    async def test(fast: bool) -> Any:
        retries = {"mode": "standard", "total_max_attempts": 2}
        async with scripted_server(Exchange.close) as server, client(server.url, fast=fast, retries=retries) as sqs:
            found = [await ask(sqs, "DeleteMessageBatch") for _ in range(110)]
            return found, len(server.requests)

    found, requests = run(lambda: test(True))
    assert (found, requests) == run(lambda: test(False))
    assert 110 < requests < 220
