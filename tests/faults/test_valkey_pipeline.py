"""Pipelined commands to Valkey: no caller gets another caller's answer, and none waits for ever."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import pytest
import uvloop
from redis.exceptions import ResponseError

from sse_service.brokers.valkey import pipeline
from sse_service.brokers.valkey.link import connect
from sse_service.brokers.valkey.pipeline import Pipeline
from sse_service.model.errors import Unavailable
from tests.faults.proxy import Proxy
from tests.integration.valkey import Valkey


@pytest.fixture(scope="module")
def server() -> Iterator[Valkey]:
    with Valkey() as running:
        yield running


def test_the_answer_to_a_cancelled_call_goes_to_no_other_call(server: Valkey) -> None:
    async def test() -> None:
        async with Proxy(server.port) as proxy, connect(f"redis://127.0.0.1:{proxy.port}/0") as link:
            calls = Pipeline(link)
            running = asyncio.create_task(calls.run())
            proxy.delay = 0.05
            echoes = [asyncio.create_task(calls.call("ECHO", str(number))) for number in range(20)]
            await asyncio.sleep(0)
            for echo in echoes[::2]:
                echo.cancel()
            kept = echoes[1::2]
            assert await asyncio.gather(*kept) == [str(number).encode() for number in range(1, 20, 2)]
            running.cancel()
            await asyncio.gather(running, *echoes, return_exceptions=True)

    asyncio.run(test())


def test_a_call_that_times_out_ends_its_connection_and_all_calls_on_it(
    server: Valkey, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pipeline, "CALL_SECONDS", 0.3)

    async def test() -> None:
        async with Proxy(server.port) as proxy, connect(f"redis://127.0.0.1:{proxy.port}/0") as link:
            calls = Pipeline(link)
            running = asyncio.create_task(calls.run())
            assert await calls.call("ECHO", "a") == b"a"
            proxy.mode = "black hole"
            results = await asyncio.gather(*(calls.call("ECHO", "b") for _ in range(3)), return_exceptions=True)
            assert all(isinstance(result, Unavailable) for result in results)
            with pytest.raises(Unavailable):
                await running
            with pytest.raises(Unavailable):
                await calls.call("ECHO", "c")

    asyncio.run(test())


def test_a_command_that_gets_no_answer_ends_its_connection_even_if_its_caller_was_cancelled(
    server: Valkey, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pipeline, "CALL_SECONDS", 0.3)

    async def test() -> None:
        async with Proxy(server.port) as proxy, connect(f"redis://127.0.0.1:{proxy.port}/0") as link:
            calls = Pipeline(link)
            proxy.mode = "black hole"
            call = asyncio.create_task(calls.call("ECHO", "a"))
            await asyncio.sleep(0)
            call.cancel()
            with pytest.raises(Unavailable, match="no answer"):
                await calls.run()
            assert calls.ended

    asyncio.run(test())


def test_calls_that_are_answered_in_time_do_not_end_their_connection(
    server: Valkey, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pipeline, "CALL_SECONDS", 0.5)

    async def test() -> None:
        async with connect(server.url) as link:
            calls = Pipeline(link)
            # The timer of the first call expires while a later one waits.
            until = asyncio.get_running_loop().time() + 1.2
            while asyncio.get_running_loop().time() < until:
                assert await calls.call("ECHO", "a") == b"a"
                await asyncio.sleep(0.01)
            assert not calls.ended

    asyncio.run(test())


def test_a_refused_command_fails_alone(server: Valkey) -> None:
    async def test() -> None:
        async with connect(server.url) as link:
            calls = Pipeline(link)
            results = await asyncio.gather(
                calls.call("ECHO", "a"), calls.call("NO-SUCH"), calls.call("ECHO", "b"), return_exceptions=True
            )
            assert (results[0], results[2]) == (b"a", b"b")
            assert isinstance(results[1], ResponseError)

    asyncio.run(test())


def test_a_command_that_cannot_be_packed_is_not_sent_and_takes_no_answer(server: Valkey) -> None:
    async def test() -> None:
        async with connect(server.url) as link:
            calls = Pipeline(link)
            with pytest.raises(UnicodeEncodeError):
                await calls.call("ECHO", "\ud800")
            assert await calls.call("ECHO", "a") == b"a"

    asyncio.run(test())


def test_a_call_on_a_connection_that_has_just_closed_raises_unavailable(server: Valkey) -> None:
    async def test() -> None:
        async with connect(f"redis://127.0.0.1:{server.port}/0") as link:
            calls = Pipeline(link)
            # uvloop, as in production: asyncio's own transport accepts such a write silently.
            link._transport.abort()
            with pytest.raises(Unavailable):
                await calls.call("ECHO", "a")

    uvloop.run(test())
