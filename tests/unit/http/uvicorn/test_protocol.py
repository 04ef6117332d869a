"""A connection can be taken over by one stream, and withstands slow, malformed and hostile requests."""

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
from sse_service.http.uvicorn.request_limits import MAX_PIPELINED, REFUSED_BYTES
from sse_service.http.uvicorn.server import SecondaryServer
from sse_service.http.uvicorn.transport import EXTENSION, StreamTransport, take_transport
from sse_service.protocols.sse.encoding import chunk
from sse_service.telemetry.health import Health
from tests.unit.serving import Run, client, serving
from tests.unit.task import wait_until

GET = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"


class StreamingApp:
    """An app that answers with a stream until the client leaves."""

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


async def plain_app(scope: Scope, receive: Receive, send: Send) -> None:
    """An app that answers at once."""
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"2")]})
    await send({"type": "http.response.body", "body": b"ok"})


def test_a_transport_writes_chunks_and_reports_what_the_peer_has_acknowledged(run: Run) -> None:
    app = StreamingApp()

    async def body() -> None:
        async with serving(app) as server, client(server) as (reader, writer):
            writer.write(GET)
            head = await reader.readuntil(b"\r\n\r\n")
            assert b"transfer-encoding: chunked" in head
            before = app.transports[0].progress().acknowledged
            assert app.transports[0].write(chunk(b":\n"))
            assert await reader.readexactly(7) == b"2\r\n:\n\r\n"
            await wait_until(lambda: not app.transports[0].progress().pending)
            assert app.transports[0].progress().acknowledged == before + 7

    run(body())


def test_the_scope_has_both_addresses_of_the_connection(run: Run) -> None:
    found: list[Any] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        found.extend((scope["client"], scope["server"], scope["scheme"]))
        await plain_app(scope, receive, send)

    async def body() -> None:
        async with serving(app) as server, client(server) as (reader, writer):
            writer.write(GET)
            await reader.readuntil(b"ok")
            assert found == [writer.get_extra_info("sockname"), writer.get_extra_info("peername"), "http"]

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
            assert transport.progress().pending
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


@pytest.mark.parametrize(
    "start",
    [
        pytest.param(b"GET /", id="a path"),
        pytest.param(b"GET / HTTP/1.1\r\nX: ", id="a header"),
        pytest.param(b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n0\r\nX: ", id="a trailer"),
    ],
)
def test_an_endless_line_is_refused(run: Run, start: bytes) -> None:
    async def body() -> None:
        async with serving(plain_app) as server, client(server) as (_, writer):
            writer.write(start)
            sent = 0
            while sent == 0 or server.server_state.connections:
                writer.write(b"x" * 1000)
                sent += 1000
                await asyncio.sleep(0)
            assert sent < 4 * REFUSED_BYTES

    run(body())


def test_a_large_body_is_not_taken_for_an_endless_line(run: Run) -> None:
    async def body() -> None:
        async with serving(plain_app) as server, client(server) as (reader, writer):
            writer.write(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000\r\n\r\n" + b"x" * 1_000_000 + GET)
            for _ in range(2):
                assert (await reader.readuntil(b"\r\n\r\nok")).startswith(b"HTTP/1.1 200 OK\r\n")

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


@pytest.mark.parametrize("before", [b"", GET], ids=["first", "second"])
def test_a_request_with_a_slow_head_is_refused(run: Run, monkeypatch: pytest.MonkeyPatch, before: bytes) -> None:
    monkeypatch.setattr("sse_service.http.uvicorn.request_limits.HEAD_SECONDS", 0.05)

    async def body() -> None:
        async with serving(plain_app) as server, client(server) as (reader, writer):
            writer.write(before + b"GET / HTTP/1.1\r\nHost: ")
            answer = await reader.read()
            assert b"HTTP/1.1 408 Request Timeout\r\n" in answer
            assert answer.count(b"HTTP/1.1 200 OK") == (1 if before else 0)

    run(body())


@pytest.mark.parametrize("framing", [b"Content-Length: 1000", b"Transfer-Encoding: chunked"])
def test_an_unfinished_body_cannot_hold_the_connection_open(
    run: Run, monkeypatch: pytest.MonkeyPatch, framing: bytes
) -> None:
    monkeypatch.setattr("sse_service.http.uvicorn.request_limits.BODY_SECONDS", 0.05)

    async def body() -> None:
        async with serving(plain_app) as server, client(server) as (reader, writer):
            writer.write(b"POST / HTTP/1.1\r\nHost: x\r\n" + framing + b"\r\n\r\n")
            assert (await reader.readuntil(b"\r\n\r\nok")).startswith(b"HTTP/1.1 200 ")
            with suppress(ConnectionError):
                assert await reader.read() == b""

    run(body())


def test_a_connection_without_a_request_is_closed_without_an_answer(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sse_service.http.uvicorn.request_limits.HEAD_SECONDS", 0.05)
    app = StreamingApp()

    async def body() -> None:
        async with serving(app) as server, client(server) as (streaming, asking):
            asking.write(GET)
            await streaming.readuntil(b"\r\n\r\n")
            async with client(server) as (silent, _):
                assert await silent.read() == b""
            # A stream that was requested in time is not affected.
            assert app.running == 1
            assert app.transports[0].write(chunk(b":\n"))
            assert await streaming.readexactly(7) == b"2\r\n:\n\r\n"

    run(body())


def test_connections_beyond_the_limit_are_closed_and_logged(run: Run, caplog: pytest.LogCaptureFixture) -> None:
    async def body() -> None:
        async with serving(plain_app, limit=ConnectionLimit(connections=1, port_name="public")) as server:
            async with client(server) as (first, writer):
                await wait_until(lambda: len(server.server_state.connections) == 1)
                for _ in range(3):
                    async with client(server) as (second, _):
                        with suppress(ConnectionError):
                            assert await second.read() == b""
                writer.write(GET)
                assert (await first.readline()).startswith(b"HTTP/1.1 200 ")
            await wait_until(lambda: not server.server_state.connections)
            async with client(server) as (third, writer):
                writer.write(GET)
                assert (await third.readline()).startswith(b"HTTP/1.1 200 ")

    run(body())
    assert [record.message for record in caplog.records if "descriptors" in record.message] == [
        "the public port is at its limit of 1 connections and has refused 1: raise the limit of file descriptors "
        "(ulimit -n), or run more tasks"
    ]


def test_every_answer_of_a_draining_task_closes_its_connection(run: Run) -> None:
    async def body() -> None:
        health = Health(dependencies={})
        async with serving(plain_app, health=health) as server, client(server) as (reader, writer):
            writer.write(GET)
            assert b"connection: close" not in await reader.readuntil(b"\r\n\r\n")
            health.begin_drain()
            writer.write(GET)
            assert b"connection: close\r\n" in await reader.read()

    run(body())


def test_garbage_after_a_request_is_refused_without_a_traceback(run: Run, caplog: pytest.LogCaptureFixture) -> None:
    app = StreamingApp()

    async def body() -> None:
        async with serving(app) as server, client(server) as (reader, writer):
            writer.write(GET + b"junk\r\n\r\n")
            assert (await reader.read()).startswith(b"HTTP/1.1 400 ")
            await wait_until(lambda: app.running == 0)

    run(body())
    assert [record.levelname for record in caplog.records if record.levelno >= logging.ERROR] == []


def test_too_many_pipelined_requests_are_cut_off(run: Run) -> None:
    async def body() -> None:
        async with serving(plain_app) as server:
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


def test_after_a_blocked_loop_a_request_that_has_arrived_is_still_answered(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sse_service.http.uvicorn.request_limits.HEAD_SECONDS", 0.05)
    monkeypatch.setattr("sse_service.http.uvicorn.request_limits.LATE_SECONDS", 0.1)

    async def body() -> None:
        async with serving(plain_app) as server, client(server) as (reader, writer):
            await wait_until(lambda: len(server.server_state.connections) == 1)
            writer.write(GET)
            time.sleep(0.3)  # noqa: ASYNC251  blocks the loop on purpose
            assert (await reader.readline()).startswith(b"HTTP/1.1 200 ")

    run(body())


def test_a_long_answer_waits_for_a_slow_reader(run: Run) -> None:
    body_bytes = 4 * 1024 * 1024

    async def long(scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        for _ in range(64):
            await send({"type": "http.response.body", "body": b"x" * (body_bytes // 64), "more_body": True})
        await send({"type": "http.response.body", "body": b""})

    async def body() -> None:
        async with serving(long) as server, client(server, limit=2**23) as (reader, writer):
            writer.write(GET)
            await wait_until(lambda: any(c.flow.write_paused for c in server.server_state.connections))
            assert (await reader.readuntil(b"0\r\n\r\n")).count(b"x") == body_bytes

    run(body())


def test_an_empty_line_after_an_answer_does_not_hold_the_connection_open(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sse_service.http.uvicorn.request_limits.HEAD_SECONDS", 0.05)

    async def body() -> None:
        async with serving(plain_app) as server, client(server) as (reader, writer):
            writer.write(GET)
            await reader.readuntil(b"\r\n\r\nok")
            writer.write(b"\n")
            await reader.read()

    run(body())


def test_a_body_that_ends_after_the_answer_leaves_the_connection_usable(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sse_service.http.uvicorn.request_limits.HEAD_SECONDS", 0.05)

    async def body() -> None:
        async with serving(plain_app) as server, client(server) as (reader, writer):
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


def test_a_stalled_reader_of_an_ordinary_answer_is_cut(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sse_service.http.uvicorn.request_limits.LINGER_SECONDS", 0.05)

    async def endless(scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        for _ in range(200):
            await send({"type": "http.response.body", "body": b"x" * 100_000, "more_body": True})

    async def body() -> None:
        async with serving(endless) as server, client(server) as (_, writer):
            writer.transport.pause_reading()  # type: ignore[attr-defined]  # typed as write-only
            writer.write(GET)
            await wait_until(lambda: len(server.server_state.connections) == 1)
            await wait_until(lambda: not server.server_state.connections)

    run(body())


@pytest.mark.parametrize("lines", [b"", b"Host: x\r\nHost: y\r\n"])
def test_a_request_without_exactly_one_host_header_is_refused(run: Run, lines: bytes) -> None:
    async def body() -> None:
        async with serving(plain_app) as server:
            async with client(server) as (reader, writer):
                writer.write(b"GET / HTTP/1.1\r\n" + lines + b"\r\n")
                assert (await reader.read()).startswith(b"HTTP/1.1 400 ")
            async with client(server) as (reader, writer):
                writer.write(b"GET / HTTP/1.0\r\n\r\n")
                assert (await reader.read()).startswith(b"HTTP/1.1 200 ")

    run(body())


def test_a_trailer_is_not_merged_into_the_headers(run: Run) -> None:
    seen: list[list[tuple[bytes, bytes]]] = []

    async def late(scope: Scope, receive: Receive, send: Send) -> None:
        while (await receive()).get("more_body"):
            pass
        seen.append(scope["headers"])
        await plain_app(scope, receive, send)

    async def body() -> None:
        async with serving(late) as server, client(server) as (reader, writer):
            writer.write(
                b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n" + b"0\r\nAuthorization: y\r\n\r\n"
            )
            await reader.readuntil(b"\r\n\r\nok")

    run(body())
    assert [name for name, _ in seen[0]] == [b"host", b"transfer-encoding"]
