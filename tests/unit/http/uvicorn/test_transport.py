"""A stream takes over its connection, and writes to it until either side ends it."""

from __future__ import annotations

import asyncio
import gc
import weakref
from typing import Any

import pytest
from starlette.types import Message, Receive, Scope, Send

from sse_service.http.uvicorn.server import SecondaryServer
from sse_service.http.uvicorn.transport import EXTENSION
from sse_service.protocols.sse.encoding import chunk
from tests.unit.http.uvicorn.apps import GET, HoldingApp, StreamingApp, plain_app
from tests.unit.serving import Run, client, serving
from tests.unit.task import wait_until


def test_a_transport_writes_chunks_and_nothing_is_pending_when_the_peer_has_them(run: Run) -> None:
    app = StreamingApp()

    async def body() -> None:
        async with serving(app) as server, client(server) as (reader, writer):
            writer.write(GET)
            head = await reader.readuntil(b"\r\n\r\n")
            assert b"transfer-encoding: chunked" in head
            assert app.transports[0].write(chunk(b":\n"))
            assert await reader.readexactly(7) == b"2\r\n:\n\r\n"
            await wait_until(lambda: not app.transports[0].progress().pending)

    run(body())


def test_a_full_buffer_pauses_writing_until_the_peer_reads_again(run: Run) -> None:
    app = StreamingApp()
    writable = asyncio.Event()

    async def body() -> None:
        async with serving(app) as server, client(server) as (reader, writer):
            writer.write(GET)
            await reader.readuntil(b"\r\n\r\n")
            transport = app.transports[0]
            transport.on_writable = writable.set
            writes = 1
            while transport.write(chunk(b"x" * 60_000)):
                writes += 1
                await asyncio.sleep(0)
            before = transport.progress()
            assert before.pending
            assert before.acknowledged > 0
            await reader.read(65536)
            await wait_until(lambda: transport.progress().acknowledged > before.acknowledged)
            taken = 0
            while not writable.is_set():
                taken += len(await reader.read(65536))
            assert 0 < taken <= writes * len(chunk(b"x" * 60_000))

    run(body())


def test_a_write_after_the_client_has_left_returns_false(run: Run) -> None:
    app = StreamingApp()
    answers = []

    async def body() -> None:
        async with serving(app) as server:
            async with client(server) as (reader, writer):
                writer.write(GET)
                await reader.readuntil(b"\r\n\r\n")
            # An event can arrive before the response learns of the disconnect.
            await wait_until(lambda: not server.server_state.connections)
            answers.append(app.transports[0].write(chunk(b":\n")))
            app.transports[0].abort()
            assert not app.transports[0].progress().pending
            await wait_until(lambda: app.running == 0)

    run(body())
    assert answers == [False]


def test_a_client_that_leaves_before_its_stream_begins_is_noticed(run: Run) -> None:
    app = StreamingApp()
    began = asyncio.Event()

    async def late(scope: Scope, receive: Receive, send: Send) -> None:
        began.set()
        await wait_until(lambda: not server.server_state.connections)
        await app(scope, receive, send)

    server: SecondaryServer

    async def body() -> None:
        nonlocal server
        async with serving(late) as server:
            async with client(server) as (_, writer):
                writer.write(GET)
                await began.wait()
            await wait_until(lambda: bool(app.transports) and app.running == 0)
            assert not app.transports[0].write(chunk(b":\n"))

    run(body())


@pytest.mark.parametrize("trailing", [GET, b"\0garbage", b"x" * 100_000], ids=["a request", "garbage", "a flood"])
def test_data_after_a_request_for_a_stream_neither_disturbs_it_nor_hides_its_end(run: Run, trailing: bytes) -> None:
    app = StreamingApp()

    async def body() -> None:
        async with serving(app) as server:
            async with client(server) as (reader, writer):
                writer.write(GET + (trailing if trailing == GET else b""))
                await reader.readuntil(b"\r\n\r\n")
                writer.write(trailing)
                await writer.drain()
                for _ in range(3):
                    assert app.transports[0].write(chunk(b":\n"))
                    assert await reader.readexactly(7) == b"2\r\n:\n\r\n"
                assert app.running == 1
            await wait_until(lambda: app.running == 0)

    run(body())


def test_a_held_stream_outlives_its_request_and_ends_with_its_connection(run: Run) -> None:
    app = HoldingApp()

    async def body() -> None:
        async with serving(app) as server:
            async with client(server) as (reader, writer):
                writer.write(GET)
                await reader.readuntil(b"\r\n\r\n")
                await wait_until(lambda: bool(app.transports) and not server.server_state.tasks)
                assert app.transports[0].write(chunk(b":\n"))
                assert await reader.readexactly(7) == b"2\r\n:\n\r\n"
                assert app.ended == 0
            await wait_until(lambda: not server.server_state.connections)
            assert app.ended == 1
            assert not app.transports[0].write(chunk(b":\n"))

    run(body())


def test_a_stream_of_a_client_that_has_left_is_ended_at_once_when_it_is_to_be_held(run: Run) -> None:
    app = HoldingApp()

    async def late(scope: Scope, receive: Receive, send: Send) -> None:
        async def send_late(message: Message) -> None:
            await send(message)
            left.set()
            await wait_until(lambda: not server.server_state.connections)

        await app(scope, receive, send_late)

    server: SecondaryServer
    left = asyncio.Event()

    async def body() -> None:
        nonlocal server
        async with serving(late) as server:
            async with client(server) as (_, writer):
                writer.write(GET)
                await left.wait()
            await wait_until(lambda: app.ended == 1)

    run(body())


def test_a_response_ends_only_when_its_slow_reader_has_taken_enough(run: Run) -> None:
    app = HoldingApp()

    async def body() -> None:
        async with serving(app) as server, client(server) as (reader, writer):
            writer.write(GET)
            await reader.readuntil(b"\r\n\r\n")
            await wait_until(lambda: bool(app.transports))
            transport, block, writes = app.transports[0], chunk(b"x" * 60_000), 1
            while transport.write(block):
                writes += 1
                await asyncio.sleep(0)
            transport.end_body()
            connection = next(iter(server.server_state.connections))
            assert not connection.transport.is_closing()
            assert await reader.read(-1) == block * writes + b"0\r\n\r\n"
            await wait_until(lambda: app.ended == 1)

    run(body())


def test_requests_and_streams_leave_no_reference_cycles(run: Run) -> None:
    app = StreamingApp()
    seen: list[weakref.ref[Any]] = []

    async def both(scope: Scope, receive: Receive, send: Send) -> None:
        seen.extend(scope["extensions"][EXTENSION])
        await (app if scope["path"] == "/stream" else plain_app)(scope, receive, send)

    async def body() -> None:
        async with serving(both) as server:
            async with client(server) as (reader, writer):
                for _ in range(3):
                    writer.write(GET)
                    await reader.readuntil(b"ok")
                writer.write(GET.replace(b"/", b"/stream", 1))
                await reader.readuntil(b"\r\n\r\n")
            await wait_until(lambda: app.running == 0)
            app.transports.clear()
            await wait_until(lambda: not any(ref() for ref in seen))

    gc.disable()
    try:
        run(body())
    finally:
        gc.enable()
