"""A connection withstands slow, malformed and hostile requests."""

from __future__ import annotations

import asyncio
import logging
import time
from contextlib import suppress
from typing import Any

import pytest
from starlette.types import Receive, Scope, Send

from sse_service.http.uvicorn.request_limits import MAX_PIPELINED, REFUSED_BYTES
from sse_service.protocols.sse.encoding import chunk
from sse_service.telemetry.health import Health
from tests.unit.http.uvicorn.apps import GET, StreamingApp, plain_app
from tests.unit.serving import Run, client, serving
from tests.unit.task import wait_until


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


UPGRADE = b"GET / HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n"


@pytest.mark.parametrize("apart", [False, True], ids=["in one segment", "in two segments"])
def test_what_follows_a_request_to_change_the_protocol_is_the_next_request_if_it_is_not_changed(
    run: Run, apart: bool
) -> None:
    arrived, answer = asyncio.Event(), asyncio.Event()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        arrived.set()
        await answer.wait()
        await plain_app(scope, receive, send)

    async def body() -> None:
        async with serving(app) as server, client(server) as (reader, writer):
            writer.write(UPGRADE + (b"" if apart else GET + GET))
            await arrived.wait()
            if apart:
                writer.write(GET + GET)
            answer.set()
            for _ in range(3):
                assert (await reader.readuntil(b"ok")).startswith(b"HTTP/1.1 200 ")

    run(body())


def test_a_client_cannot_fill_the_memory_behind_a_request_to_change_the_protocol(run: Run) -> None:
    arrived, answer = asyncio.Event(), asyncio.Event()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        arrived.set()
        await answer.wait()
        await plain_app(scope, receive, send)

    async def body() -> None:
        async with serving(app) as server, client(server) as (_, writer):
            writer.write(UPGRADE)
            await arrived.wait()
            # It stops taking more, so the buffers of the two kernels fill up.
            while writer.transport.get_write_buffer_size() < 2**20:
                writer.write(b"x" * 2**16)
                await asyncio.sleep(0)
            [connection] = server.server_state.connections
            assert len(connection.take_after_upgrade()) <= 2**20
            answer.set()

    run(body())
