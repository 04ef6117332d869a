"""aiobotocore prepares each kind of call once. Capturing a call neither sends nor loses it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Coroutine
from typing import Any

import pytest
import uvloop
from aiobotocore.endpoint import AioEndpoint
from aiobotocore.httpsession import AIOHTTPSession

from consumers.sqs.fast.connection_pool import ConnectionPool
from consumers.sqs.fast.status import OPERATIONS, FastPathStatus
from tests.integration.sqs_clients import QUEUE, ask, client
from tests.integration.sqs_scripted_server import Exchange, scripted_server, succeed


def run(test: Callable[[], Coroutine[Any, Any, Any]]) -> Any:
    return uvloop.run(test())


@pytest.fixture
def senders(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Record the sender of each request."""
    sent: list[str] = []
    for owner, name in ((ConnectionPool, "fast"), (AIOHTTPSession, "aiobotocore")):

        async def send(self: Any, request: Any, *, name: str = name, real: Any = owner.send) -> Any:
            sent.append(name)
            return await real(self, request)

        monkeypatch.setattr(owner, "send", send)
    return sent


def test_capturing_sends_nothing_and_each_call_is_sent_once(senders: list[str]) -> None:
    async def test() -> None:
        async with scripted_server(succeed) as server, client(server.url, fast=True) as sqs:
            # Concurrent, so that one call is captured while another one is in progress.
            await asyncio.gather(*(ask(sqs, operation) for operation in OPERATIONS * 3))
            assert sorted(request.operation for request in server.requests) == sorted(OPERATIONS * 3)

    run(test)
    assert senders == ["fast"] * 6


def test_each_call_sends_its_own_parameters() -> None:
    asked = [{"QueueUrl": QUEUE, "Entries": [{"Id": str(n), "ReceiptHandle": f"ü{n}"}]} for n in range(3)]

    async def test(fast: bool) -> Any:
        async with scripted_server(succeed) as server, client(server.url, fast=fast) as sqs:
            for params in asked:
                await sqs.delete_message_batch(**params)
            await sqs.delete_message_batch(QueueUrl=f"{QUEUE}2", Entries=[])
            return [(request.headers["x-amz-target"], json.loads(request.body)) for request in server.requests]

    ours = run(lambda: test(True))
    assert ours == run(lambda: test(False))
    assert [body for _, body in ours] == [*asked, {"QueueUrl": f"{QUEUE}2", "Entries": []}]


def test_parameters_that_aiobotocore_refuses_are_refused_in_every_call() -> None:
    async def test(fast: bool) -> Any:
        async with scripted_server(succeed) as server, client(server.url, fast=fast) as sqs:
            found = []
            for params in ({"QueueUrl": 1}, {}, {"QueueUrl": QUEUE, "Nonsense": 1}, {"QueueUrl": 1}):
                with pytest.raises(Exception, match="Parameter validation failed") as caught:
                    await sqs.receive_message(**params)
                found.append(str(caught.value))
            return found, len(server.requests)

    assert run(lambda: test(True)) == run(lambda: test(False))


def test_aiobotocore_sends_a_body_with_other_fields_than_the_parameters(senders: list[str]) -> None:
    async def test(fast: bool) -> Any:
        def more(params: dict[str, Any], **_: Any) -> dict[str, Any]:
            return {**params, "VisibilityTimeout": 7}

        async with scripted_server(succeed) as server, client(server.url, fast=fast) as sqs:
            sqs.meta.events.register("provide-client-params.sqs.ReceiveMessage", more)
            for _ in range(2):
                await ask(sqs, "ReceiveMessage")
            return [request.body for request in server.requests]

    assert run(lambda: test(True)) == run(lambda: test(False))
    assert senders == ["aiobotocore"] * 4


def test_aiobotocore_escapes_text_that_is_not_utf8(senders: list[str]) -> None:
    """A malicious server could send such a receipt handle."""

    async def test() -> None:
        async with scripted_server(succeed) as server, client(server.url, fast=True) as sqs:
            for handle in ("\ud83d", "r"):
                await sqs.delete_message_batch(QueueUrl=QUEUE, Entries=[{"Id": "0", "ReceiptHandle": handle}])
            assert rb'"\ud83d"' in server.requests[0].body

    run(test)
    assert senders == ["aiobotocore", "fast"]


def test_a_call_that_was_not_captured_is_answered_and_the_status_has_the_reason(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A future release may lack the event. The messages of a receive must not be lost then."""
    monkeypatch.setattr("consumers.sqs.fast.fast_client._capture", lambda **_: None)

    async def test() -> None:
        status = FastPathStatus()
        async with scripted_server(succeed) as server, client(server.url, fast=True, status=status) as sqs:
            for number in (1, 2):
                assert (await ask(sqs, "ReceiveMessage"))[0]["Messages"]
                assert len(server.requests) == number
        assert status.reason == "aiobotocore did not emit before-call.sqs.ReceiveMessage"

    run(test)


def test_successes_fill_the_retry_quota_again(monkeypatch: pytest.MonkeyPatch) -> None:
    async def pause(self: AioEndpoint, seconds: float) -> None:
        await asyncio.sleep(0)

    monkeypatch.setattr(AioEndpoint, "_sleep", pause)

    async def test(fast: bool) -> Any:
        retries = {"mode": "standard", "total_max_attempts": 2}
        script = [Exchange.close] * 210 + [succeed] * 20 + [Exchange.close]
        async with scripted_server(*script) as server, client(server.url, fast=fast, retries=retries) as sqs:
            while len(server.requests) < 230:
                await ask(sqs, "DeleteMessageBatch")
            before = len(server.requests)
            for _ in range(5):
                await ask(sqs, "DeleteMessageBatch")
            return len(server.requests) - before

    assert run(lambda: test(True)) == run(lambda: test(False)) > 5
