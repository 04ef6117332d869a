"""A connection lends itself to one response, and bears whatever its client does."""

from __future__ import annotations

import asyncio
import gc
import logging
import time
import weakref
from contextlib import suppress
from typing import Any

import pytest
from starlette.types import Receive, Scope, Send

from sse_service.http.uvicorn.connection_limit import ConnectionLimit
from sse_service.http.uvicorn.protocol import MAX_PIPELINED, REFUSED_BYTES
from sse_service.http.uvicorn.server import SecondaryServer
from sse_service.http.uvicorn.transport import EXTENSION, StreamTransport, take_transport
from sse_service.protocols.sse.encoding import chunk
from sse_service.telemetry.health import Health
from tests.unit.serving import Run, client, serving
from tests.unit.task import settled

GET = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"


class Streaming:
    """An app that answers with a stream for as long as its client stays."""

    def __init__(self) -> None:
        self.transports: list[StreamTransport] = []
        self.running = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        transport = take_transport(scope)
        self.transports.append(transport)
        self.running += 1
        try:
            await send({"type": "http.response.start", "status": 200, "headers": [(b"connection", b"close")]})
            while (await receive())["type"] != "http.disconnect":
                pass
        finally:
            self.running -= 1


async def plain(scope: Scope, receive: Receive, send: Send) -> None:
    """An app that answers at once."""
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"2")]})
    await send({"type": "http.response.body", "body": b"ok"})


def test_what_is_lent_writes_chunk_coded_blocks_and_knows_what_the_peer_has_taken(run: Run) -> None:
    app = Streaming()

    async def body() -> None:
        async with serving(app) as server, client(server) as (reader, writer):
            writer.write(GET)
            head = await reader.readuntil(b"\r\n\r\n")
            assert b"transfer-encoding: chunked" in head
            before = app.transports[0].progress().acknowledged
            assert app.transports[0].write(chunk(b":\n"))
            assert await reader.readexactly(7) == b"2\r\n:\n\r\n"
            await settled(lambda: not app.transports[0].progress().pending)
            assert app.transports[0].progress().acknowledged == before + 7

    run(body())


def test_a_request_knows_both_ends_of_its_connection(run: Run) -> None:
    found: list[Any] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        found.extend((scope["client"], scope["server"], scope["scheme"]))
        await plain(scope, receive, send)

    async def body() -> None:
        async with serving(app) as server, client(server) as (reader, writer):
            writer.write(GET)
            await reader.readuntil(b"ok")
            assert found == [writer.get_extra_info("sockname"), writer.get_extra_info("peername"), "http"]

    run(body())


def test_a_peer_that_does_not_read_is_held_back_from_and_told_when_it_reads_again(run: Run) -> None:
    app = Streaming()
    told = asyncio.Event()

    async def body() -> None:
        async with serving(app) as server, client(server) as (reader, writer):
            writer.write(GET)
            await reader.readuntil(b"\r\n\r\n")
            transport = app.transports[0]
            transport.on_writable = told.set
            writes = 1
            while transport.write(chunk(b"x" * 60_000)):
                writes += 1
                await asyncio.sleep(0)
            assert transport.progress().pending
            taken = 0
            while not told.is_set():
                taken += len(await reader.read(65536))
            assert 0 < taken <= writes * len(chunk(b"x" * 60_000))

    run(body())


def test_a_write_after_the_client_has_left_is_no_error(run: Run) -> None:
    app = Streaming()
    answers = []

    async def body() -> None:
        async with serving(app) as server:
            async with client(server) as (reader, writer):
                writer.write(GET)
                await reader.readuntil(b"\r\n\r\n")
            # What a publisher does before the response has heard of it.
            await settled(lambda: not server.server_state.connections)
            answers.append(app.transports[0].write(chunk(b":\n")))
            app.transports[0].abort()
            assert not app.transports[0].progress().pending
            await settled(lambda: app.running == 0)

    run(body())
    assert answers == [False]


def test_a_client_that_leaves_before_its_stream_begins_is_gone(run: Run) -> None:
    app = Streaming()
    began = asyncio.Event()

    async def late(scope: Scope, receive: Receive, send: Send) -> None:
        began.set()
        await settled(lambda: not server.server_state.connections)
        await app(scope, receive, send)

    server: SecondaryServer

    async def body() -> None:
        nonlocal server
        async with serving(late) as server:
            async with client(server) as (_, writer):
                writer.write(GET)
                await began.wait()
            await settled(lambda: bool(app.transports) and app.running == 0)
            assert not app.transports[0].write(chunk(b":\n"))

    run(body())


@pytest.mark.parametrize("behind", [GET, b"\0garbage", b"x" * 100_000], ids=["a request", "garbage", "a flood"])
def test_what_is_sent_behind_a_request_for_a_stream_neither_disturbs_it_nor_hides_its_end(
    run: Run, behind: bytes
) -> None:
    app = Streaming()

    async def body() -> None:
        async with serving(app) as server:
            async with client(server) as (reader, writer):
                writer.write(GET + (behind if behind == GET else b""))
                await reader.readuntil(b"\r\n\r\n")
                writer.write(behind)
                await writer.drain()
                for _ in range(3):
                    assert app.transports[0].write(chunk(b":\n"))
                    assert await reader.readexactly(7) == b"2\r\n:\n\r\n"
                assert app.running == 1
            await settled(lambda: app.running == 0)

    run(body())


@pytest.mark.parametrize(
    "start",
    [
        pytest.param(b"GET /", id="a path"),
        pytest.param(b"GET / HTTP/1.1\r\nX: ", id="a header"),
        pytest.param(b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n0\r\nX: ", id="a trailer"),
    ],
)
def test_a_line_that_never_ends_is_refused(run: Run, start: bytes) -> None:
    async def body() -> None:
        async with serving(plain) as server, client(server) as (_, writer):
            writer.write(start)
            sent = 0
            while sent == 0 or server.server_state.connections:
                writer.write(b"x" * 1000)
                sent += 1000
                await asyncio.sleep(0)
            assert sent < 4 * REFUSED_BYTES

    run(body())


def test_a_body_of_any_size_is_no_line(run: Run) -> None:
    async def body() -> None:
        async with serving(plain) as server, client(server) as (reader, writer):
            writer.write(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000\r\n\r\n" + b"x" * 1_000_000 + GET)
            for _ in range(2):
                assert (await reader.readuntil(b"\r\n\r\nok")).startswith(b"HTTP/1.1 200 OK\r\n")

    run(body())


def test_a_request_and_a_stream_leave_nothing_to_the_garbage_collector(run: Run) -> None:
    app = Streaming()
    seen: list[weakref.ref[Any]] = []

    async def both(scope: Scope, receive: Receive, send: Send) -> None:
        seen.extend(scope["extensions"][EXTENSION])
        await (app if scope["path"] == "/stream" else plain)(scope, receive, send)

    async def body() -> None:
        async with serving(both) as server:
            async with client(server) as (reader, writer):
                for _ in range(3):
                    writer.write(GET)
                    await reader.readuntil(b"ok")
                writer.write(GET.replace(b"/", b"/stream", 1))
                await reader.readuntil(b"\r\n\r\n")
            await settled(lambda: app.running == 0)
            app.transports.clear()
            await settled(lambda: not any(ref() for ref in seen))

    gc.disable()
    try:
        run(body())
    finally:
        gc.enable()


@pytest.mark.parametrize("before", [b"", GET], ids=["first", "second"])
def test_a_request_whose_head_is_slow_to_come_is_refused(
    run: Run, monkeypatch: pytest.MonkeyPatch, before: bytes
) -> None:
    monkeypatch.setattr("sse_service.http.uvicorn.protocol.HEAD_SECONDS", 0.05)

    async def body() -> None:
        async with serving(plain) as server, client(server) as (reader, writer):
            writer.write(before + b"GET / HTTP/1.1\r\nHost: ")
            answer = await reader.read()
            assert b"HTTP/1.1 408 Request Timeout\r\n" in answer
            assert answer.count(b"HTTP/1.1 200 OK") == (1 if before else 0)

    run(body())


@pytest.mark.parametrize("framing", [b"Content-Length: 1000", b"Transfer-Encoding: chunked"])
def test_a_body_that_nobody_reads_cannot_hold_the_connection(
    run: Run, monkeypatch: pytest.MonkeyPatch, framing: bytes
) -> None:
    monkeypatch.setattr("sse_service.http.uvicorn.protocol.BODY_SECONDS", 0.05)

    async def body() -> None:
        async with serving(plain) as server, client(server) as (reader, writer):
            writer.write(b"POST / HTTP/1.1\r\nHost: x\r\n" + framing + b"\r\n\r\n")
            assert (await reader.readuntil(b"\r\n\r\nok")).startswith(b"HTTP/1.1 200 ")
            with suppress(ConnectionError):
                assert await reader.read() == b""

    run(body())


def test_a_connection_on_which_nothing_comes_is_closed_without_a_word(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sse_service.http.uvicorn.protocol.HEAD_SECONDS", 0.05)
    app = Streaming()

    async def body() -> None:
        async with serving(app) as server, client(server) as (streaming, asking), client(server) as (silent, _):
            asking.write(GET)
            await streaming.readuntil(b"\r\n\r\n")
            assert await silent.read() == b""
            # A stream that was asked for in time is not touched by it.
            assert app.running == 1
            assert app.transports[0].write(chunk(b":\n"))
            assert await streaming.readexactly(7) == b"2\r\n:\n\r\n"

    run(body())


def test_more_connections_than_there_are_descriptors_for_are_closed_and_the_log_says_so(
    run: Run, caplog: pytest.LogCaptureFixture
) -> None:
    async def body() -> None:
        async with serving(plain, limit=ConnectionLimit(connections=1, port_name="public")) as server:
            async with client(server) as (first, writer):
                await settled(lambda: len(server.server_state.connections) == 1)
                for _ in range(3):
                    async with client(server) as (second, _):
                        with suppress(ConnectionError):
                            assert await second.read() == b""
                writer.write(GET)
                assert (await first.readline()).startswith(b"HTTP/1.1 200 ")
            await settled(lambda: not server.server_state.connections)
            async with client(server) as (third, writer):
                writer.write(GET)
                assert (await third.readline()).startswith(b"HTTP/1.1 200 ")

    run(body())
    assert [record.message for record in caplog.records if "descriptors" in record.message] == [
        "the public port is at its limit of 1 connections and has refused 1: raise the limit of file descriptors "
        "(ulimit -n), or run more tasks"
    ]


def test_every_answer_of_a_draining_task_ends_its_connection(run: Run) -> None:
    async def body() -> None:
        health = Health(dependencies={})
        async with serving(plain, health=health) as server, client(server) as (reader, writer):
            writer.write(GET)
            assert b"connection: close" not in await reader.readuntil(b"\r\n\r\n")
            health.begin_drain()
            writer.write(GET)
            assert b"connection: close\r\n" in await reader.read()

    run(body())


def test_rubbish_behind_a_request_is_refused_without_a_traceback(run: Run, caplog: pytest.LogCaptureFixture) -> None:
    app = Streaming()

    async def body() -> None:
        async with serving(app) as server, client(server) as (reader, writer):
            writer.write(GET + b"junk\r\n\r\n")
            assert (await reader.read()).startswith(b"HTTP/1.1 400 ")
            await settled(lambda: app.running == 0)

    run(body())
    assert [record.levelname for record in caplog.records if record.levelno >= logging.ERROR] == []


def test_requests_that_are_sent_behind_one_another_without_end_are_cut_off(run: Run) -> None:
    async def body() -> None:
        async with serving(plain) as server:
            async with client(server) as (reader, writer):
                writer.write(GET * MAX_PIPELINED)
                for _ in range(MAX_PIPELINED):
                    await reader.readuntil(b"\r\n\r\nok")
            async with client(server) as (reader, writer):
                writer.write(GET * 1000)
                with suppress(ConnectionError):
                    assert (await reader.read()).count(b"HTTP/1.1 200 ") <= MAX_PIPELINED + 1
                assert server.server_state.total_requests <= 2 * MAX_PIPELINED + 2

    run(body())


def test_a_process_that_was_held_up_reads_what_has_come_before_it_gives_a_request_up(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sse_service.http.uvicorn.protocol.HEAD_SECONDS", 0.05)
    monkeypatch.setattr("sse_service.http.uvicorn.protocol.LATE_SECONDS", 0.1)

    async def body() -> None:
        async with serving(plain) as server, client(server) as (reader, writer):
            await settled(lambda: len(server.server_state.connections) == 1)
            writer.write(GET)
            time.sleep(0.3)  # noqa: ASYNC251  as a process that is frozen, or has no share of the processor
            assert (await reader.readline()).startswith(b"HTTP/1.1 200 ")

    run(body())


def test_an_answer_longer_than_the_transport_takes_waits_for_a_peer_that_reads_late(run: Run) -> None:
    body_bytes = 4 * 1024 * 1024

    async def long(scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        for _ in range(64):
            await send({"type": "http.response.body", "body": b"x" * (body_bytes // 64), "more_body": True})
        await send({"type": "http.response.body", "body": b""})

    async def body() -> None:
        async with serving(long) as server, client(server, limit=2**23) as (reader, writer):
            writer.write(GET)
            await settled(lambda: any(c.flow.write_paused for c in server.server_state.connections))
            assert (await reader.readuntil(b"0\r\n\r\n")).count(b"x") == body_bytes

    run(body())


def test_a_line_end_after_an_answer_does_not_hold_the_connection(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sse_service.http.uvicorn.protocol.HEAD_SECONDS", 0.05)

    async def body() -> None:
        async with serving(plain) as server, client(server) as (reader, writer):
            writer.write(GET)
            await reader.readuntil(b"\r\n\r\nok")
            writer.write(b"\n")
            await reader.read()

    run(body())


def test_a_body_that_comes_after_the_answer_leaves_the_connection_to_the_next_request(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sse_service.http.uvicorn.protocol.HEAD_SECONDS", 0.05)

    async def body() -> None:
        async with serving(plain) as server, client(server) as (reader, writer):
            server.config.timeout_keep_alive = 1
            writer.write(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\n")
            await reader.readuntil(b"\r\n\r\nok")
            writer.write(b"ab")
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.2):
                    await reader.read()
            writer.write(GET)
            await reader.readuntil(b"\r\n\r\nok")

    run(body())


def test_a_reader_of_an_answer_that_is_no_stream_is_cut_when_it_takes_nothing(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sse_service.http.uvicorn.protocol.LINGER_SECONDS", 0.05)

    async def endless(scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        for _ in range(200):
            await send({"type": "http.response.body", "body": b"x" * 100_000, "more_body": True})

    async def body() -> None:
        async with serving(endless) as server, client(server) as (_, writer):
            writer.transport.pause_reading()  # type: ignore[attr-defined]  # typed as one that writes
            writer.write(GET)
            await settled(lambda: len(server.server_state.connections) == 1)
            await settled(lambda: not server.server_state.connections)

    run(body())


@pytest.mark.parametrize("lines", [b"", b"Host: x\r\nHost: y\r\n"])
def test_a_request_without_one_host_is_refused(run: Run, lines: bytes) -> None:
    async def body() -> None:
        async with serving(plain) as server:
            async with client(server) as (reader, writer):
                writer.write(b"GET / HTTP/1.1\r\n" + lines + b"\r\n")
                assert (await reader.read()).startswith(b"HTTP/1.1 400 ")
            async with client(server) as (reader, writer):
                writer.write(b"GET / HTTP/1.0\r\n\r\n")
                assert (await reader.read()).startswith(b"HTTP/1.1 200 ")

    run(body())


def test_a_trailer_is_no_header_of_the_request(run: Run) -> None:
    seen: list[list[tuple[bytes, bytes]]] = []

    async def late(scope: Scope, receive: Receive, send: Send) -> None:
        while (await receive()).get("more_body"):
            pass
        seen.append(scope["headers"])
        await plain(scope, receive, send)

    async def body() -> None:
        async with serving(late) as server, client(server) as (reader, writer):
            writer.write(
                b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n" + b"0\r\nAuthorization: y\r\n\r\n"
            )
            await reader.readuntil(b"\r\n\r\nok")

    run(body())
    assert [name for name, _ in seen[0]] == [b"host", b"transfer-encoding"]
