"""Polls on real connections: keep-alive, pipelining, clients that leave, and answers in a drain."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

from sse_service.model.events import Event, Route
from sse_service.model.reasons import CloseReason
from sse_service.protocols.polling import endpoint
from tests.unit.protocols.service import request, service
from tests.unit.serving import Run, client
from tests.unit.task import Task, wait_until

WAITS = "GET /events/poll?since=all&wait=50 HTTP/1.1"
"""Waits where nothing is held."""


async def read_answer(reader: asyncio.StreamReader) -> tuple[bytes, dict[str, Any]]:
    """Read one answer: its head, and its body."""
    head = await reader.readuntil(b"\r\n\r\n")
    length = int(head.lower().partition(b"content-length: ")[2].split(b"\r\n")[0])
    body: dict[str, Any] = json.loads(await reader.readexactly(length))
    return head, body


async def until_live(task: Task, polls: int = 1) -> None:
    await wait_until(lambda: len(task.streams) == polls and all(each.live for each in task.streams.snapshot()))


def closed(task: Task, reason: str) -> float:
    text = task.metrics.render().decode()
    return float(text.partition(f'sse_streams_closed_total{{reason="{reason}"}} ')[2].split("\n")[0])


def test_polls_follow_each_other_on_one_connection(run: Run) -> None:
    task = Task()

    async def body() -> None:
        async with service(task) as server, client(server) as (reader, writer):
            line = WAITS
            for text in "abc":
                writer.write(request(line))
                await until_live(task)
                await task.publish(text)
                head, answer = await read_answer(reader)
                assert b"connection: close" not in head
                assert b"\r\ncache-control: no-store\r\n" in head
                assert [event["data"] for event in answer["events"]] == [text]
                line = f"GET /events/poll?lastEventId={answer['cursor']}&wait=50 HTTP/1.1"
            await wait_until(lambda: len(task.streams) == 0)

    run(body())
    assert closed(task, "answered") == 3


def test_events_that_are_published_together_come_in_one_answer(run: Run) -> None:
    task = Task()

    async def body() -> None:
        async with service(task) as server, client(server) as (reader, writer):
            writer.write(request(WAITS))
            await until_live(task)
            await task.broker.publish([Route(Event(text, text), ("user:1",)) for text in "ab"])
            _, answer = await read_answer(reader)
            assert [event["data"] for event in answer["events"]] == ["a", "b"]

    run(body())


def test_pipelined_requests_are_answered_in_order_after_the_poll(run: Run) -> None:
    task = Task()

    async def body() -> None:
        async with service(task) as server, client(server) as (reader, writer):
            writer.write(request(WAITS))
            await until_live(task)
            writer.write(request("GET /nothing HTTP/1.1") + request("GET /events/poll HTTP/1.1"))
            await wait_until(lambda: _pipelined(server) == 2)
            await task.publish("a")
            _, first = await read_answer(reader)
            assert [event["data"] for event in first["events"]] == ["a"]
            head, _ = await read_answer(reader)
            assert head.startswith(b"HTTP/1.1 404 ")
            _, last = await read_answer(reader)
            assert last["events"] == []

    run(body())


def _pipelined(server: Any) -> int:
    return sum(len(connection.pipeline) for connection in server.server_state.connections)


@pytest.mark.parametrize("after", [b"", request("GET /nothing HTTP/1.1"), b"GET /no"], ids=["", "request", "part"])
def test_the_stream_of_a_client_that_leaves_during_the_wait_ends_at_once(run: Run, after: bytes) -> None:
    task = Task()

    async def body() -> None:
        async with service(task) as server:
            async with client(server) as (_, writer):
                writer.write(request(WAITS))
                await until_live(task)
                writer.write(after)
                await writer.drain()
                await asyncio.sleep(0)
            await wait_until(lambda: len(task.streams) == 0)
            assert closed(task, "client") == 1

    run(body())


def test_garbage_during_the_wait_is_refused_and_ends_the_poll(run: Run) -> None:
    task = Task()

    async def body() -> None:
        async with service(task) as server, client(server) as (reader, writer):
            writer.write(request(WAITS))
            await until_live(task)
            writer.write(b"\x00garbage\r\n\r\n")
            assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 400 ")
            await wait_until(lambda: len(task.streams) == 0)

    run(body())


@pytest.mark.parametrize("line", ["HTTP/1.1", "HTTP/1.0"])
def test_a_poll_with_a_body_that_does_not_end_is_answered_and_closes_the_connection(run: Run, line: str) -> None:
    task = Task()

    async def body() -> None:
        async with service(task) as server, client(server) as (reader, writer):
            writer.write(request(f"GET /events/poll?since=all&wait=50 {line}", "Content-Length: 1000000"))
            writer.write(b"x" * 300_000)
            await until_live(task)
            await task.publish("a")
            head, answer = await read_answer(reader)
            assert b"connection: close" in head
            assert [event["data"] for event in answer["events"]] == ["a"]
            assert await reader.read() == b""

    run(body())


def test_with_http_1_0_the_answer_has_a_length_and_closes_the_connection(run: Run) -> None:
    task = Task()

    async def body() -> None:
        async with service(task) as server, client(server) as (reader, writer):
            writer.write(request("GET /events/poll HTTP/1.0"))
            head, answer = await read_answer(reader)
            assert b"connection: close" in head
            assert answer["events"] == []
            assert await reader.read() == b""

    run(body())


def test_head_is_answered_with_the_headers_alone_and_opens_nothing(run: Run) -> None:
    task = Task()

    async def body() -> None:
        async with service(task) as server, client(server) as (reader, writer):
            writer.write(request("HEAD /events/poll?wait=50 HTTP/1.1") + request("GET /nothing HTTP/1.1"))
            head = await reader.readuntil(b"\r\n\r\n")
            assert head.startswith(b"HTTP/1.1 200 OK\r\n")
            assert b"\r\ncontent-type: application/json\r\n" in head
            assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 404 ")

    run(body())
    assert closed(task, "answered") == 0


def test_the_answer_after_a_wait_still_has_the_headers_of_cors(run: Run) -> None:
    task = Task()

    async def body() -> None:
        async with service(task) as server, client(server) as (reader, writer):
            writer.write(request(WAITS, "Origin: https://app.example.com"))
            await until_live(task)
            await task.publish("a")
            head, _ = await read_answer(reader)
            assert b"\r\naccess-control-allow-origin: https://app.example.com\r\n" in head

    run(body())


@pytest.mark.parametrize("reason", [reason for reason in CloseReason if reason is not CloseReason.SLOW])
def test_a_waiting_poll_whose_stream_is_closed_is_answered(run: Run, reason: CloseReason) -> None:
    task = Task()

    async def body() -> None:
        async with service(task) as server, client(server) as (reader, writer):
            writer.write(request(WAITS))
            await until_live(task)
            task.streams.snapshot()[0].close(reason)
            head, answer = await read_answer(reader)
            assert head.startswith(b"HTTP/1.1 200 OK\r\n")
            assert (answer["events"], answer["gap"]) == ([], None)
            await wait_until(lambda: len(task.streams) == 0)
            assert closed(task, reason) == 1

    run(body())


def test_an_answer_of_a_task_that_drains_closes_the_connection(run: Run) -> None:
    task = Task()

    async def body() -> None:
        async with service(task) as server, client(server) as (reader, writer):
            writer.write(request(WAITS))
            await until_live(task)
            task.health.begin_drain()
            await task.publish("a")
            head, answer = await read_answer(reader)
            assert b"connection: close" in head
            assert [event["data"] for event in answer["events"]] == ["a"]
            assert await reader.read() == b""

    run(body())


def test_a_poll_that_cannot_read_in_time_is_told_to_come_back(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(endpoint, "READ_SECONDS", 0.01)
    task = Task()

    async def away(_: object) -> None:
        await asyncio.Event().wait()

    monkeypatch.setattr(task.broker, "subscribe", away)

    async def body() -> None:
        async with service(task) as server, client(server) as (reader, writer):
            writer.write(request("GET /events/poll HTTP/1.1"))
            head, answer = await read_answer(reader)
            assert head.startswith(b"HTTP/1.1 503 ")
            assert b"\r\nretry-after: " in head
            assert "try again" in answer["detail"]
            await wait_until(lambda: len(task.streams) == 0)

    run(body())


def test_a_poll_that_is_drained_before_it_could_read_is_told_to_come_back(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    task = Task()

    async def slow(_: object) -> None:
        task.streams.snapshot()[0].close(CloseReason.DRAIN)
        await asyncio.Event().wait()

    monkeypatch.setattr(task.broker, "subscribe", slow)

    async def body() -> None:
        async with service(task) as server, client(server) as (reader, writer):
            writer.write(request("GET /events/poll HTTP/1.1"))
            head, _ = await read_answer(reader)
            assert head.startswith(b"HTTP/1.1 503 ")
            assert b"connection: close" in head

    run(body())


def test_a_slow_reader_counts_as_open_until_it_has_taken_the_answer(run: Run) -> None:
    task = Task()

    async def body() -> None:
        async with service(task) as server, client(server, limit=1000) as (reader, writer):
            # More than both kernels keep: the peer's own buffer grows to some megabytes.
            await task.publish("x" * 20_000_000)
            writer.write(request("GET /events/poll?since=all HTTP/1.1"))
            head = await reader.readuntil(b"\r\n\r\n")
            assert len(task.streams) == 1
            left = int(head.lower().partition(b"content-length: ")[2].split(b"\r\n")[0])
            while left:
                left -= len(await reader.read(65_536))
            await wait_until(lambda: len(task.streams) == 0)
            assert closed(task, "answered") == 1

    run(body())


def test_a_peer_that_takes_no_byte_of_the_answer_is_cut_as_slow(run: Run) -> None:
    task = Task()

    async def body() -> None:
        async with service(task) as server, client(server, limit=1000) as (reader, writer):
            await task.publish("x" * 20_000_000)
            writer.write(request("GET /events/poll?since=all HTTP/1.1"))
            await reader.readuntil(b"\r\n\r\n")
            assert task.streams.snapshot()[0].sink.progress().pending
            task.streams.snapshot()[0].cut(CloseReason.SLOW)
            await wait_until(lambda: len(task.streams) == 0)
            assert closed(task, "slow") == 1

    run(body())


def test_a_crowd_of_polls_that_one_event_wakes_is_answered_a_few_at_a_time(run: Run) -> None:
    task = Task(max_streams=200, max_streams_per_user=200)
    turns: list[int] = []

    async def body() -> None:
        async with service(task) as server:
            connections = [client(server) for _ in range(90)]
            opened = [await each.__aenter__() for each in connections]
            for _, writer in opened:
                writer.write(request(WAITS))
            await until_live(task, 90)
            await task.publish("a")
            while len(task.streams):
                before = len(task.streams)
                await asyncio.sleep(0)
                turns.append(before - len(task.streams))
            for reader, _ in opened:
                assert (await read_answer(reader))[1]["events"][0]["data"] == "a"
            for each in connections:
                await each.__aexit__(None, None, None)

    run(body())
    assert sum(turns) == 90
    assert max(turns) <= 16
