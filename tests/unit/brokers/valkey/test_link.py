"""A connection ends for every fault, and tells its receiver why; answers are handled in slices."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
import uvloop
from redis.exceptions import InvalidResponse

from sse_service.brokers.valkey import link as module
from sse_service.brokers.valkey.link import ANSWERS_PER_TURN, Link, connect
from sse_service.brokers.valkey.pipeline import Pipeline
from sse_service.model.errors import Unavailable
from tests.integration.until import until

Serve = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


class Kept:
    """A receiver that keeps what it gets."""

    def __init__(self) -> None:
        self.reads: list[list[Any]] = []
        self.errors: list[Exception] = []

    def receive(self, answers: list[Any]) -> None:
        self.reads.append(answers)

    def link_ended(self, error: Exception) -> None:
        self.errors.append(error)


@asynccontextmanager
async def linked(serve: Serve, *, greeting: bytes = b"+OK\r\n+OK\r\n") -> AsyncIterator[tuple[Link, Kept]]:
    """Connect to a server that answers the handshake and then does as ``serve`` says."""

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        # redis-py sends CLIENT SETINFO for its name and for its version.
        received = b""
        while received.count(b"SETINFO") < 2 or not received.endswith(b"\r\n"):
            received += await reader.read(1000)
        writer.write(greeting)
        try:
            await serve(reader, writer)
        finally:
            writer.transport.abort()

    async with await asyncio.start_server(handle, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        async with connect(f"redis://127.0.0.1:{port}/0") as link:
            kept = Kept()
            link.attach(kept)
            yield link, kept
        await asyncio.sleep(0)


async def wait_for_end(reader: asyncio.StreamReader, _: asyncio.StreamWriter) -> None:
    while await reader.read(2**16):
        pass


@pytest.mark.parametrize("run", [asyncio.run, uvloop.run])
def test_commands_and_answers_of_every_kind_pass(run: Callable[[Any], None]) -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        assert await reader.readexactly(31) == b"*3\r\n$1\r\na\r\n$2\r\n\xc3\xa9\r\n$6\r\n\x00\r\n\xff12\r\n"
        for part in (b":1\r", b"\n$-1\r\n*2\r\n$1\r\nx\r\n-E", b"RR no\r\n"):
            writer.write(part)
            await writer.drain()
        await reader.read()

    async def test() -> None:
        async with linked(serve) as (link, kept):
            link.send("a", "é", b"\x00\r\n\xff12")
            await until(lambda: sum(map(len, kept.reads)) == 3)
            number, nothing, (text, error) = [answer for read in kept.reads for answer in read]
            assert (number, nothing, text, str(error)) == (1, None, b"x", "no")

    run(test())


def test_many_answers_at_once_are_handled_in_slices_between_which_the_loop_gets_turns() -> None:
    count = 10 * ANSWERS_PER_TURN + 1

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readline()
        writer.write(b":1\r\n" * count)
        await reader.read()

    async def test() -> None:
        turns_at: list[int] = []
        async with linked(serve) as (link, kept):

            def turn() -> None:
                turns_at.append(len(kept.reads))
                loop.call_soon(turn)

            loop = asyncio.get_running_loop()
            loop.call_soon(turn)
            link.send("a")
            await until(lambda: sum(map(len, kept.reads)) == count)
            assert max(map(len, kept.reads)) == ANSWERS_PER_TURN
            assert set(range(1, 10)) <= set(turns_at)

    asyncio.run(test())


def test_a_server_that_reads_nothing_gets_only_so_much(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_UNSENT_BYTES", 2**20)

    async def serve(*_: object) -> None:
        await asyncio.Event().wait()

    async def test() -> None:
        async with linked(serve) as (link, kept):
            for _ in range(1000):
                link.send("x" * 2**16)
                assert link._transport.get_write_buffer_size() < 2**21
            assert [str(error) for error in kept.errors] == ["the server does not read its commands"]
            with pytest.raises(ConnectionError):
                await link.run()

    asyncio.run(test())


def test_a_closed_connection_ends_the_link_once() -> None:
    async def serve(*_: object) -> None: ...

    async def test() -> None:
        async with linked(serve) as (link, kept):
            with pytest.raises(ConnectionError):
                await link.run()
            link.send("a")
            link.end(ConnectionError("again"))
            assert len(kept.errors) == 1

    asyncio.run(test())


def test_a_receiver_that_is_attached_to_an_ended_link_is_told() -> None:
    async def test() -> None:
        async with linked(wait_for_end) as (link, _):
            link.end(ConnectionError("first"))
            late = Kept()
            link.attach(late)
            assert [str(error) for error in late.errors] == ["first"]

    asyncio.run(test())


def test_bytes_that_are_no_answer_end_the_link() -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readline()
        writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        await reader.read()

    async def test() -> None:
        async with linked(serve) as (link, _):
            link.send("a")
            with pytest.raises(InvalidResponse):
                await link.run()

    asyncio.run(test())


def test_bytes_that_come_before_the_first_command_are_refused() -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()

    async def test() -> None:
        with pytest.raises(ConnectionError, match="more than it was asked for"):
            async with linked(serve, greeting=b"+OK\r\n+OK\r\n:1\r\n"):
                pass

    asyncio.run(test())


@pytest.mark.parametrize("reply", [b"-LOADING the dataset\r\n", b"-NOAUTH Authentication required.\r\n"])
def test_a_server_that_serves_nobody_ends_all_calls(reply: bytes) -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readline()
        writer.write(reply)
        await reader.read()

    async def test() -> None:
        async with linked(serve) as (link, _):
            pipeline = Pipeline(link)
            results = await asyncio.gather(pipeline.call("a"), pipeline.call("b"), return_exceptions=True)
            assert all(isinstance(result, Unavailable) for result in results)
            with pytest.raises(Unavailable):
                await pipeline.call("c")

    asyncio.run(test())


def test_an_answer_to_no_command_ends_the_calls() -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readline()
        writer.write(b":1\r\n:2\r\n")
        await reader.read()

    async def test() -> None:
        async with linked(serve) as (link, _):
            pipeline = Pipeline(link)
            assert await pipeline.call("a") == 1
            with pytest.raises(Unavailable):
                await pipeline.run()

    asyncio.run(test())


def test_what_a_receiver_raises_ends_the_link_with_it() -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readline()
        writer.write(b":1\r\n")
        await reader.read()

    async def test() -> None:
        async with linked(serve) as (link, kept):
            kept.receive = [].index  # type: ignore[method-assign]  # raises ValueError
            link.send("a")
            with pytest.raises(ValueError, match="not in list"):
                await link.run()

    asyncio.run(test())
