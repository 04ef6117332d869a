"""The response of a stream, on a real connection."""

from __future__ import annotations

import asyncio
import gc

import pytest

from sse_service.model.reasons import CloseReason
from tests.unit.protocols.service import UPGRADE, request, service
from tests.unit.serving import Run, client
from tests.unit.task import Task, wait_until


def test_a_stream_that_the_server_closes_ends_with_the_last_chunk(run: Run) -> None:
    task = Task()

    async def body() -> None:
        async with service(task) as server, client(server) as (reader, writer):
            writer.write(request())
            await reader.readuntil(b"stream.ready")
            task.streams.snapshot()[0].close(CloseReason.DRAIN, retry_ms=1000)
            assert (await reader.read()).endswith(b'{"reason":"drain","reconnect":true}\n\n\r\n0\r\n\r\n')
            await wait_until(lambda: len(task.streams) == 0)

    run(body())


@pytest.mark.parametrize("line", ["GET /events", "GET /events/poll?since=all&wait=50", "GET /ws"])
def test_an_open_stream_keeps_no_task(run: Run, line: str) -> None:
    """A task with the frames that it sleeps in takes as much memory as all the rest of a stream."""
    task = Task()

    async def body() -> None:
        async with service(task) as server, client(server) as (_, writer):
            writer.write(request(f"{line} HTTP/1.1", *(UPGRADE if line == "GET /ws" else ())))
            await wait_until(lambda: bool(len(task.streams)) and not server.server_state.tasks)
            assert len(server.server_state.connections) == 1
            assert not task.streams.snapshot()[0].closed

    run(body())


def test_with_http_1_0_the_close_ends_the_stream(run: Run) -> None:
    task = Task()

    async def body() -> None:
        async with service(task) as server, client(server) as (reader, writer):
            writer.write(request("GET /events HTTP/1.0", "Connection: keep-alive"))
            await reader.readuntil(b"stream.ready")
            task.streams.snapshot()[0].close(CloseReason.DRAIN)
            assert (await reader.read()).endswith(b'{"reason":"drain","reconnect":true}\n\n')

    run(body())


def test_the_body_of_a_request_is_discarded(run: Run) -> None:
    task = Task()

    async def body() -> None:
        async with service(task) as server, client(server) as (reader, writer):
            writer.write(request("GET /events HTTP/1.1", "Content-Length: 1000000", "Expect: 100-continue"))
            writer.write(b"x" * 1_000_000)
            assert (await reader.readuntil(b"stream.ready")).startswith(b"HTTP/1.1 200 OK\r\n")
            await task.publish("a")
            await reader.readuntil(b"data: a\n")

    run(body())


def test_cutting_a_stream_resets_its_connection(run: Run) -> None:
    task = Task()

    async def body() -> None:
        async with service(task) as server, client(server) as (reader, writer):
            writer.write(request())
            await reader.readuntil(b"stream.ready")
            task.streams.snapshot()[0].cut(CloseReason.SLOW)
            with pytest.raises(ConnectionResetError):
                await reader.read()
            await wait_until(lambda: len(task.streams) == 0)

    run(body())
    assert 'sse_streams_closed_total{reason="slow"} 1.0' in task.metrics.render().decode()


@pytest.mark.parametrize(
    ("line", "answer"),
    [
        ("GET /events", b"stream.ready"),
        ("HEAD /events", b"\r\n\r\n"),
        ("GET /events/poll", b"\r\n\r\n"),
        ("GET /events/poll?since=all&wait=1", b"\r\n\r\n"),
        ("GET /ws", b"stream.ready"),
        ("POST /session", b"\r\n\r\n"),
        ("GET /healthz", b"\r\n\r\n"),
        ("GET /nothing", b"\r\n\r\n"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_answers_leave_no_reference_cycles(run: Run, line: str, answer: bytes) -> None:
    task = Task()

    async def body() -> None:
        async with service(task) as server:

            async def ask() -> None:
                async with client(server) as (reader, writer):
                    writer.write(request(f"{line} HTTP/1.1", *(UPGRADE if line == "GET /ws" else ())))
                    await reader.readuntil(answer)
                state = server.server_state
                await wait_until(lambda: not state.connections and not state.tasks)

            await ask()
            gc.collect()
            gc.disable()
            gc.set_debug(gc.DEBUG_SAVEALL)
            await ask()
            gc.collect()

    try:
        run(body())
        left = [o for o in gc.garbage if type(o).__module__.partition(".")[0] in ("sse_service", "uvicorn")]
    finally:
        gc.set_debug(0)
        gc.enable()
        gc.garbage.clear()
    assert not left


@pytest.mark.parametrize("line", ["GET /events HTTP/1.1", "GET /events HTTP/1.0"])
@pytest.mark.parametrize("origin", ["Origin: https://app.example.com", "X-Nothing: 1"])
def test_head_and_ready_event_are_sent_in_one_segment(run: Run, line: str, origin: str) -> None:
    task = Task()

    async def body() -> None:
        async with service(task) as server, client(server) as (reader, writer):
            writer.write(request(line, origin))
            head, _, rest = (await reader.read(65536)).partition(b"\r\n\r\n")
            chunked = line.endswith("1.1")
            assert (b"transfer-encoding: chunked" in head) is chunked
            assert (b"access-control-allow-origin: https://app" in head) is origin.startswith("Origin")
            assert rest.startswith(b"2\r\n:\n\r\n" if chunked else b":\nevent: stream.ready\n")
            assert b"event: stream.ready\n" in rest

    run(body())


def test_the_head_does_not_wait_for_a_slow_broker(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    task, answers = Task(), asyncio.Event()

    async def slow(_: object) -> None:
        await answers.wait()

    monkeypatch.setattr(task.broker, "subscribe", slow)

    async def body() -> None:
        async with service(task) as server, client(server) as (reader, writer):
            writer.write(request())
            assert (await reader.readuntil(b"2\r\n:\n\r\n")).startswith(b"HTTP/1.1 200 OK\r\n")
            answers.set()
            await reader.readuntil(b"event: stream.ready\n")

    run(body())


def test_a_stream_that_is_closed_before_its_greeting_still_sends_its_head(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    task, answers = Task(), asyncio.Event()

    async def slow(_: object) -> None:
        task.streams.snapshot()[0].close(CloseReason.DRAIN)
        await answers.wait()

    monkeypatch.setattr(task.broker, "subscribe", slow)

    async def body() -> None:
        async with service(task) as server, client(server) as (reader, writer):
            writer.write(request())
            got = await reader.read()
            assert got.startswith(b"HTTP/1.1 200 OK\r\n")
            assert got.endswith(b'{"reason":"drain","reconnect":true}\n\n\r\n0\r\n\r\n')

    run(body())


@pytest.mark.parametrize("line", ["GET /events?since=all HTTP/1.1", "GET /events?since=all HTTP/1.0"])
def test_a_replay_larger_than_the_buffer_before_the_head_is_complete_and_in_order(run: Run, line: str) -> None:
    task = Task()
    texts = [f"{number} {'x' * 2000}" for number in range(150)]

    async def body() -> None:
        await task.publish(*texts)
        async with service(task) as server, client(server, limit=2**20) as (reader, writer):
            writer.write(request(line))
            got = (await reader.readuntil(b"event: stream.cursor\n")).decode()
            assert [found for found in got.splitlines() if found.startswith("data: ")][1:] == [
                f"data: {text}" for text in texts
            ]

    run(body())


def test_an_event_is_encoded_once_for_all_streams(run: Run) -> None:
    task = Task()
    seen: list[bytes] = []

    async def body() -> None:
        async with service(task) as server, client(server) as (one, first), client(server) as (two, second):
            for reader, writer in ((one, first), (two, second)):
                writer.write(request())
                await reader.readuntil(b"stream.ready")
            await wait_until(lambda: all(stream.live for stream in task.streams.snapshot()))
            for stream in task.streams.snapshot():
                # Records what the transport gets. The Sink's type does not have this attribute of its implementation.
                write = stream.sink._send  # type: ignore[attr-defined]  # see above
                stream.sink._send = lambda coded, write=write: seen.append(coded) or write(coded)  # type: ignore[attr-defined]  # see above
            await task.publish("a")
            for reader in (one, two):
                await reader.readuntil(b"data: a\n")

    run(body())
    assert len(seen) == 2
    assert seen[0] is seen[1]


@pytest.mark.parametrize(
    ("line", "detail"),
    [
        ("GET /nothing HTTP/1.1", b'"detail":"nothing is served at this path"'),
        ("POST /events HTTP/1.1", b'"detail":"this path answers only'),
    ],
)
def test_an_unknown_path_or_method_is_answered_with_what_to_do(run: Run, line: str, detail: bytes) -> None:
    task = Task()

    async def body() -> None:
        async with service(task) as server, client(server) as (reader, writer):
            writer.write(request(line, "Connection: close"))
            assert detail in await reader.read()

    run(body())
