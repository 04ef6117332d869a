"""A call is prepared by aiobotocore once, and nothing leaves or is lost by that."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Coroutine
from typing import Any
from urllib.parse import urlsplit

import pytest
import uvloop
from aiobotocore.endpoint import AioEndpoint
from aiobotocore.httpsession import AIOHTTPSession

from consumers.sqs.fast.client import OPERATIONS
from consumers.sqs.fast.pool import Transport
from consumers.sqs.fast.prepared import Prepared, form
from tests.integration.sqs_clients import QUEUE, ask, client
from tests.integration.sqs_faulty import Talk, faulty, good


def run(test: Callable[[], Coroutine[Any, Any, Any]]) -> Any:
    return uvloop.run(test())


@pytest.fixture
def ways(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Who sent each request."""
    sent: list[str] = []
    for owner, name in ((Transport, "short"), (AIOHTTPSession, "whole")):

        async def send(self: Any, request: Any, *, name: str = name, real: Any = owner.send) -> Any:
            sent.append(name)
            return await real(self, request)

        monkeypatch.setattr(owner, "send", send)
    return sent


def test_a_rehearsal_sends_nothing_and_each_call_is_sent_once(ways: list[str]) -> None:
    async def test() -> None:
        async with faulty(good) as server, client(server.url, fast=True) as sqs:
            # Side by side, so that one is rehearsed while another is under way.
            await asyncio.gather(*(ask(sqs, operation) for operation in OPERATIONS * 3))
            assert sorted(request.operation for request in server.requests) == sorted(OPERATIONS * 3)

    run(test)
    assert ways == ["short"] * 6


def test_bodies_are_the_parameters_of_each_call_in_the_form_of_the_first() -> None:
    asked = [{"QueueUrl": QUEUE, "Entries": [{"Id": str(n), "ReceiptHandle": f"ü{n}"}]} for n in range(3)]

    async def test(fast: bool) -> Any:
        async with faulty(good) as server, client(server.url, fast=fast) as sqs:
            for params in asked:
                await sqs.delete_message_batch(**params)
            await sqs.delete_message_batch(QueueUrl=f"{QUEUE}2", Entries=[])
            return [(request.headers["x-amz-target"], json.loads(request.body)) for request in server.requests]

    ours = run(lambda: test(True))
    assert ours == run(lambda: test(False))
    assert [body for _, body in ours] == [*asked, {"QueueUrl": f"{QUEUE}2", "Entries": []}]


def test_what_aiobotocore_refuses_before_it_sends_is_refused_at_each_call() -> None:
    async def test(fast: bool) -> Any:
        async with faulty(good) as server, client(server.url, fast=fast) as sqs:
            found = []
            for params in ({"QueueUrl": 1}, {}, {"QueueUrl": QUEUE, "Nonsense": 1}, {"QueueUrl": 1}):
                with pytest.raises(Exception, match="Parameter validation failed") as caught:
                    await sqs.receive_message(**params)
                found.append(str(caught.value))
            return found, len(server.requests)

    assert run(lambda: test(True)) == run(lambda: test(False))


def test_a_body_that_is_not_just_the_parameters_is_aiobotocores(ways: list[str]) -> None:
    async def test(fast: bool) -> Any:
        def more(params: dict[str, Any], **_: Any) -> dict[str, Any]:
            return {**params, "VisibilityTimeout": 7}

        async with faulty(good) as server, client(server.url, fast=fast) as sqs:
            sqs.meta.events.register("provide-client-params.sqs.ReceiveMessage", more)
            for _ in range(2):
                await ask(sqs, "ReceiveMessage")
            return [request.body for request in server.requests]

    assert run(lambda: test(True)) == run(lambda: test(False))
    assert ways == ["whole"] * 4


def test_text_that_is_no_utf8_is_escaped_by_aiobotocore(ways: list[str]) -> None:
    """As in a receipt handle of a server that means no good."""

    async def test() -> None:
        async with faulty(good) as server, client(server.url, fast=True) as sqs:
            for handle in ("\ud83d", "r"):
                await sqs.delete_message_batch(QueueUrl=QUEUE, Entries=[{"Id": "0", "ReceiptHandle": handle}])
            assert rb'"\ud83d"' in server.requests[0].body

    run(test)
    assert ways == ["whole", "short"]


def test_where_a_rehearsal_is_not_stopped_its_answer_is_the_calls(monkeypatch: pytest.MonkeyPatch) -> None:
    """As in a release without that event: a receive's messages must not be lost."""
    monkeypatch.setattr("consumers.sqs.fast.client._end_rehearsal", lambda **_: None)

    async def test() -> None:
        async with faulty(good) as server, client(server.url, fast=True) as sqs:
            for number in (1, 2):
                assert (await ask(sqs, "ReceiveMessage"))[0]["Messages"]
                assert len(server.requests) == number

    run(test)


@pytest.mark.parametrize("body", [b"\xbf\xff", b"Action=ReceiveMessage", b"{}", b'{"QueueUrl": "q", "more": 1}'])
def test_a_body_of_another_protocol_or_with_more_in_it_has_no_form(body: bytes) -> None:
    """As CBOR, which botocore may choose for SQS one day."""

    class Keys:
        region_name, signing_name = "eu-west-1", "sqs"

    async def test() -> None:
        request = {"url": "https://q/", "method": "POST", "headers": {}, "body": body}
        seconds: dict[str, Any] = dict.fromkeys(("connect_seconds", "silence_seconds", "keep_seconds"), 1)
        transport = Transport(urlsplit("https://q/"), tls=pytest.fail, most=1, **seconds)
        plain = {**request, "body": b'{"QueueUrl": "q"}'}
        for each, has_one in ((plain, True), (request, False)):
            prepared = Prepared(request=each, signer=Keys, context={}, model=None)
            assert (form(prepared, {"QueueUrl": "q"}, lambda url: transport) is not None) is has_one

    run(test)


def test_successes_give_the_quota_of_retries_back(monkeypatch: pytest.MonkeyPatch) -> None:
    async def pause(self: AioEndpoint, seconds: float) -> None:
        await asyncio.sleep(0)

    monkeypatch.setattr(AioEndpoint, "_sleep", pause)

    async def test(fast: bool) -> Any:
        retries = {"mode": "standard", "total_max_attempts": 2}
        acts = [Talk.close] * 210 + [good] * 20 + [Talk.close]
        async with faulty(*acts) as server, client(server.url, fast=fast, retries=retries) as sqs:
            while len(server.requests) < 230:
                await ask(sqs, "DeleteMessageBatch")
            before = len(server.requests)
            for _ in range(5):
                await ask(sqs, "DeleteMessageBatch")
            return len(server.requests) - before

    assert run(lambda: test(True)) == run(lambda: test(False)) > 5
