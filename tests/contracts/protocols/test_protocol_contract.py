"""What every protocol for clients must do. Each test runs with a client of each."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Coroutine, Iterator
from typing import Any

import pytest

from sse_service.tail.blocks import Lost, Refused
from tests.contracts.protocols.listening import PROTOCOLS, Listening, listening
from tests.integration.chain import Chain, queue_stub, service
from tests.integration.test_stream import user

JOB = [str(number) for number in range(6)]

pytestmark = pytest.mark.parametrize("protocol", PROTOCOLS)


@pytest.fixture(scope="module")
def chain() -> Iterator[Chain]:
    # A user of this suite opens more connections at once than a person does.
    with queue_stub() as queue, service(queue, opens_per_second="0") as running:
        yield running


def run(test: Coroutine[Any, Any, None]) -> None:
    asyncio.run(test)


async def held(chain: Chain, name: str, *bodies: str, **attributes: str) -> Listening:
    """Publish events, and return what a stream gets when history holds them all."""
    chain.put(*bodies, user_id=name, **attributes)
    async with listening(chain, "sse", name, since="all") as stream:
        return await stream.events_until(len(bodies))


@pytest.mark.parametrize("then", PROTOCOLS)
def test_a_client_may_go_on_in_another_protocol_after_every_event(chain: Chain, protocol: str, then: str) -> None:
    async def test() -> None:
        name = user()
        all_of = (await held(chain, name, *JOB)).events
        for cut in range(1, len(JOB)):
            async with listening(chain, protocol, name, since="all") as first:
                # A page of polls brings all events at once: the client stops in the middle of it.
                await first.events_until(cut)
            before = first.events[:cut]
            async with listening(chain, then, name, lastEventId=before[-1].id or "") as second:
                await second.events_until(len(JOB) - cut)
            assert before + second.events == all_of
            assert second.reasons("stream.gap") == []

    run(test())


def test_all_protocols_see_the_same_ids_in_the_same_order(chain: Chain, protocol: str) -> None:
    async def test() -> None:
        name = user()
        async with listening(chain, "sse", name) as stream, listening(chain, protocol, name) as other:
            await stream.until(lambda stream: stream.cursor != "")
            await other.until(lambda other: other.cursor != "" or bool(other.services and protocol == "websocket"))
            chain.put(*JOB, user_id=name, event_type="step")
            await asyncio.gather(stream.events_until(len(JOB)), other.events_until(len(JOB)))
        assert stream.events == other.events

    run(test())


@pytest.mark.parametrize(
    ("cursor", "reason"), [("rubbish", "unknown"), ("other-life.1795595683528528.0", "epoch"), ("é", "unknown")]
)
def test_a_cursor_that_cannot_be_continued_is_a_gap_and_then_what_is_held(
    chain: Chain, protocol: str, cursor: str, reason: str
) -> None:
    async def test() -> None:
        name = user()
        await held(chain, name, *JOB)
        async with listening(chain, protocol, name, lastEventId=cursor) as client:
            await client.events_until(len(JOB))
        assert client.reasons("stream.gap") == [reason]
        assert client.data == JOB

    run(test())


def test_a_client_gets_only_the_events_it_asks_for(chain: Chain, protocol: str) -> None:
    async def test() -> None:
        name = user()
        chain.put("1", user_id=name, event_type="a", subject="x")
        chain.put("2", user_id=name, event_type="b", subject="y")
        chain.put("3", user_id=name, subject="x")
        await held(chain, name, "4", event_type="a", subject="y")
        for query, expected in (
            ({"types": "a"}, ["1", "4"]),
            ({"types": "message,b"}, ["2", "3"]),
            ({"subject": "y"}, ["2", "4"]),
            ({"types": "a", "subject": "x"}, ["1"]),
            ({"types": "a", "since": "10m"}, ["1", "4"]),
        ):
            async with listening(chain, protocol, name, **{"since": "all", **query}) as client:
                await client.until(lambda client: any(each.event == "stream.cursor" for each in client.services))
            assert client.data == expected, query

    run(test())


def test_nobody_sees_a_foreign_event_also_with_a_foreign_cursor(chain: Chain, protocol: str) -> None:
    async def test() -> None:
        mine, theirs = user(), user()
        foreign = await held(chain, theirs, "secret 1", "secret 2")
        await held(chain, mine, "1", "2")
        async with listening(chain, protocol, mine, lastEventId=foreign.events[0].id or "") as client:
            await client.events_until(2)
            chain.put("secret 3", user_id=theirs)
            chain.put("3", user_id=mine)
            await client.events_until(3)
        assert client.data == ["1", "2", "3"]

    run(test())


@pytest.mark.parametrize(
    ("query", "status"), [({"since": "yesterday"}, "400"), ({"types": ""}, "400"), ({"heartbeat": "x"}, "400")], ids=str
)
def test_a_bad_query_is_refused(chain: Chain, protocol: str, query: dict[str, str], status: str) -> None:
    async def test() -> None:
        async with listening(chain, protocol, user(), **query) as client:
            error = await client.end()
        assert isinstance(error, Refused)
        assert str(error).startswith(status)

    run(test())


def test_a_bad_token_is_refused(chain: Chain, protocol: str) -> None:
    async def test() -> None:
        async with listening(chain, protocol, "", token="bad") as client:
            assert str(await client.end()).startswith("401")

    run(test())


def test_an_expired_token_ends_the_connection_and_the_next_one_is_refused(chain: Chain, protocol: str) -> None:
    async def test() -> None:
        name = user()
        token = chain.signer.sign(name, ttl_seconds=3)
        async with listening(chain, protocol, name, token=token) as client:
            error = await client.end()
        if isinstance(error, StopAsyncIteration):
            assert client.reasons("stream.close") == ["expired"]
        async with listening(chain, protocol, name, token=token) as client:
            assert str(await client.end()).startswith("401")

    run(test())


def test_a_revoked_user_is_sent_away_and_the_next_connection_is_refused(chain: Chain, protocol: str) -> None:
    async def test() -> None:
        name = user()
        token = chain.signer.sign(name)
        async with listening(chain, protocol, name, token=token) as client:
            await client.until(lambda client: bool(client.services))
            chain.client.post(f"{chain.admin}/revoke", json={"user": name}).raise_for_status()
            async with asyncio.timeout(5):
                error = await client.end()
        if isinstance(error, StopAsyncIteration):
            assert client.reasons("stream.close") == ["revoked"]
        async with listening(chain, protocol, name, token=token) as client:
            assert str(await client.end()).startswith("401")

    run(test())


def test_an_overloaded_task_tells_clients_to_come_back(protocol: str) -> None:
    async def test(chain: Chain) -> None:
        async with listening(chain, "sse", user()) as other:
            await other.until(lambda other: bool(other.services))
            async with listening(chain, protocol, user()) as client:
                error = await client.end()
        if isinstance(error, Lost):
            assert str(error).startswith("503")
        else:
            assert client.reasons("stream.close") == ["limit"]
            assert client.services[-1].retry_ms

    with queue_stub() as queue, service(queue, max_streams="1") as chain:
        run(test(chain))


def test_a_task_that_ends_answers_or_closes_and_says_so(protocol: str) -> None:
    async def test(chain: Chain) -> None:
        name = user()
        await held(chain, name, "1")
        async with listening(chain, protocol, name, since="all") as client:
            await client.events_until(1)
            await client.until(lambda client: any(each.event == "stream.cursor" for each in client.services))
            chain.process.signal(signal.SIGTERM)
            error = await client.end()
        assert chain.process.wait() == 0
        # A waiting poll is answered with nothing, and the next one is told to come back, or finds nobody.
        if isinstance(error, StopAsyncIteration):
            assert client.reasons("stream.close") == ["drain"]
            assert client.services[-1].retry_ms
        assert client.data == ["1"]

    with queue_stub() as queue, service(queue, drain_seconds="1") as chain:
        run(test(chain))
