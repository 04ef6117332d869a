"""The short way is aiobotocore's: the same faults, the same outcome, error code and number of requests."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Coroutine
from typing import Any

import pytest
import uvloop
from aiobotocore.endpoint import AioEndpoint

from consumers.errors import MalformedAnswer
from consumers.sqs.fast.client import OPERATIONS
from consumers.sqs.responses import judge
from tests.integration.sqs_clients import ask, client
from tests.integration.sqs_faulty import Act, Talk, faulty, good


def run(test: Callable[[], Coroutine[Any, Any, Any]]) -> Any:
    """On the loop of production."""
    return uvloop.run(test())


@pytest.fixture(autouse=True)
def _no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    async def pause(self: AioEndpoint, seconds: float) -> None:
        await asyncio.sleep(0)

    monkeypatch.setattr(AioEndpoint, "_sleep", pause)


def error(status: str, code: str, *headers: str) -> Act:
    body = json.dumps({"__type": f"com.amazonaws.sqs#{code}", "message": "no"}).encode()
    return lambda talk: talk.say(status, body, *headers)


def says(status: str, body: bytes | None, *headers: str, length: bool = True) -> Act:
    return lambda talk: talk.say(status, body, *headers, length=length)


def raw(data: Callable[[bytes], bytes], *, then: Callable[[Talk], None] = Talk.close) -> Act:
    def act(talk: Talk) -> None:
        talk.writer.write(data(talk.good()))
        then(talk)

    return act


def keep(talk: Talk) -> None:
    """Leave the connection open."""


def chunked(talk: Talk) -> None:
    body = talk.good()
    chunks = b"".join(b"%x\r\n%s\r\n" % (len(part), part) for part in (body[:7], body[7:]))
    talk.say("200 OK", chunks + b"0\r\n\r\n", "Transfer-Encoding: chunked", length=False)


def last(talk: Talk) -> None:
    talk.say("200 OK", None, "Connection: close")
    talk.close()


def unsized(talk: Talk) -> None:
    talk.say("200 OK", length=False)
    talk.close()


SIZED = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s"
PARTLY = {
    "Successful": [{"Id": "1"}],
    "Failed": [{"Id": "0", "SenderFault": True, "Code": "ReceiptHandleIsInvalid", "Message": "no"}],
}
NO_QUEUE = "x-amzn-query-error: AWS.SimpleQueueService.NonExistentQueue;Sender"
FAULTS: dict[str, Act] = {
    "500": error("500 Internal Server Error", "InternalFailure"),
    "500 of no words": says("500 Internal Server Error", b""),
    "503": error("503 Service Unavailable", "ServiceUnavailable"),
    "502 of a proxy": says("502 Bad Gateway", b"<html>Bad gateway</html>"),
    "504 that ends the connection": says("504 Gateway Timeout", b"{}", "Connection: close"),
    "throttled": error("400 Bad Request", "RequestThrottled", "x-amzn-query-error: RequestThrottled;Sender"),
    "throttled, too many": error("429 Too Many Requests", "ThrottlingException"),
    "over the limit": error("403 Forbidden", "OverLimit", "x-amzn-query-error: OverLimit;Sender"),
    "no such queue": error("400 Bad Request", "QueueDoesNotExist", NO_QUEUE),
    "expired token": error("403 Forbidden", "ExpiredTokenException"),
    "clock skew": error("403 Forbidden", "SignatureDoesNotMatch"),
    "denied": error("403 Forbidden", "AccessDeniedException"),
    "reset": Talk.reset,
    "close": Talk.close,
    "cut in the head": raw(lambda body: b"HTTP/1.1 200 OK\r\nContent-Le"),
    "cut in the body": raw(lambda body: SIZED % (len(body) + 1, body)),
    "cut in a chunk": raw(lambda body: b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n9\r\nx"),
    "no chunk": raw(lambda body: b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\n\r\n", then=keep),
    "no HTTP": raw(lambda body: b"SSH-2.0-server\r\n\r\n"),
    "201": says("201 Created", None),
    "204": says("204 No Content", b"", length=False),
    "unsized, to the end": unsized,
    "chunked": chunked,
    "last on its connection": last,
    "HTTP/1.0": raw(lambda body: b"HTTP/1.0 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body)),
    "100 first": raw(
        lambda body: (
            b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body)
        ),
        then=keep,
    ),
    "partial failure": says("200 OK", json.dumps(PARTLY).encode()),
    "nothing": says("200 OK", b"{}"),
}


async def outcome(
    fast: bool, operation: str, mode: str, *acts: Act, calls: int = 1, attempts: int = 2, **options: Any
) -> Any:
    retries = {"mode": mode, "total_max_attempts": attempts}
    async with faulty(*acts) as server, client(server.url, fast=fast, retries=retries, **options) as sqs:
        found = [await ask(sqs, operation) for _ in range(calls)]
        assert ("amz-sdk-request" in server.requests[0].headers) is not fast
        return found, [request.operation for request in server.requests]


def both(operation: str, mode: str, *acts: Act, **options: Any) -> Any:
    async def test() -> Any:
        ours = await outcome(True, operation, mode, *acts, **options)
        assert ours == await outcome(False, operation, mode, *acts, **options)
        return ours

    return run(test)


@pytest.mark.parametrize("mode", ["standard", "legacy"])
@pytest.mark.parametrize(
    ("fault", "operation"),
    [(fault, o) for fault in FAULTS for o in OPERATIONS if (fault, o) != ("partial failure", "ReceiveMessage")],
)
def test_a_fault_has_the_same_outcome(fault: str, operation: str, mode: str) -> None:
    bad = FAULTS[fault]
    # On a new connection, on one that was kept, as each attempt's answer, and one that a retry mends.
    both(operation, mode, bad, bad, good, bad, good, good, bad, good, calls=5)


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_that_is_not_retried_is_of_the_same_kind(fault: str) -> None:
    both("DeleteMessageBatch", "standard", FAULTS[fault], good, FAULTS[fault], calls=3, attempts=1)


@pytest.mark.parametrize("operation", OPERATIONS)
def test_a_server_that_stays_silent_is_timed_out(operation: str) -> None:
    half = raw(lambda body: SIZED % (len(body) + 1, body), then=keep)
    for act in (keep, half):
        found, requests = both(operation, "standard", act, read_timeout=0.1)
        assert found == ["ReadTimeoutError"]
        assert len(requests) == 2
        both(operation, "standard", act, good, read_timeout=0.1)


@pytest.mark.parametrize("mode", ["standard", "legacy"])
def test_a_server_that_is_away_is_refused(mode: str) -> None:
    async def test(fast: bool) -> Any:
        async with faulty(good) as server:
            pass
        async with client(server.url, fast=fast, retries={"mode": mode, "total_max_attempts": 2}) as sqs:
            return await ask(sqs, "ReceiveMessage")

    assert run(lambda: test(True)) == run(lambda: test(False)) == "EndpointConnectionError"


@pytest.mark.parametrize("body", [b"<html>no</html>", b"", b"[]", b"\xff\xfe", b'{"Messages"', b"null"])
@pytest.mark.parametrize("operation", OPERATIONS)
def test_a_success_that_says_nothing_is_a_failure_both_ways(operation: str, body: bytes) -> None:
    async def test(fast: bool) -> Any:
        async with faulty(says("200 OK", body)) as server, client(server.url, fast=fast) as sqs:
            sqs.meta.events.register("before-parse.sqs", judge)
            return await ask(sqs, operation), len(server.requests)

    assert run(lambda: test(True)) == run(lambda: test(False)) == (MalformedAnswer.__name__, 1)


def test_retries_draw_on_the_clients_own_quota() -> None:
    """Botocore stops retrying when most of what it asks fails, however the first attempt was made."""

    async def test(fast: bool) -> Any:
        retries = {"mode": "standard", "total_max_attempts": 2}
        async with faulty(Talk.close) as server, client(server.url, fast=fast, retries=retries) as sqs:
            found = [await ask(sqs, "DeleteMessageBatch") for _ in range(110)]
            return found, len(server.requests)

    found, requests = run(lambda: test(True))
    assert (found, requests) == run(lambda: test(False))
    assert 110 < requests < 220
