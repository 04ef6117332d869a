"""The head that is made once a second is, byte for byte, the one that uvicorn makes for each answer."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from starlette.types import Message, Receive, Scope, Send

from sse_service.http.uvicorn.head import Head
from sse_service.http.uvicorn.loan import EXTENSION
from sse_service.http.uvicorn.server import QuietServer
from tests.unit.serving import App, Run, client, serving

START: Message = {
    "type": "http.response.start",
    "status": 200,
    "headers": [(b"content-type", b"text/event-stream"), (b"connection", b"close")],
}
UNLIKE = ("scope", "message_event", "on_response", "body", "more_body", "transport", "flow")
"""What two requests do not share, and no answer's head changes."""


class Answering:
    """An app that answers with what a head gave, or by uvicorn alone; keeps how that leaves the cycle."""

    def __init__(self, head: Head | None) -> None:
        self.head = head
        self.left: list[dict[str, Any]] = []
        self.adds = False
        """Whether something before uvicorn adds to the head."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        cycle = scope["extensions"][EXTENSION][1]()

        async def adding(message: Message) -> None:
            await send({**message, "headers": [*message["headers"], (b"vary", b"origin")]})

        chosen = adding if self.adds else send
        if self.head is None:
            await chosen(START)
        else:
            cycle.transport.write(await self.head.begin(cycle, chosen))
        self.left.append({name: value for name, value in vars(cycle).items() if name not in UNLIKE})
        await send({"type": "http.response.body", "body": b"x"})


@asynccontextmanager
async def timeless(app: App) -> AsyncIterator[QuietServer]:
    """A server that changes no date by itself."""
    async with serving(app) as server:

        async def tick(_: int) -> bool:
            return server.should_exit

        server.on_tick = tick  # type: ignore[method-assign]  # where uvicorn makes the date
        # A tick that has begun is done
        await asyncio.sleep(0)
        yield server


async def answers(app: Answering, line: str, *headers: str, times: int = 3) -> list[bytes]:
    """What comes back, from a server whose date stands still."""
    got = []
    async with timeless(app) as server:
        server.server_state.default_headers = [(b"date", b"Mon, 30 Nov 2026 09:00:00 GMT")]
        for _ in range(times):
            async with client(server) as (reader, writer):
                writer.write("\r\n".join((line, "Host: x", *headers, "", "")).encode())
                got.append(await reader.read())
    return got


@pytest.mark.parametrize("adds", [False, True])
@pytest.mark.parametrize("headers", [(), ("Connection: close",), ("Expect: 100-continue", "Content-Length: 1")])
@pytest.mark.parametrize("line", ["GET / HTTP/1.1", "GET / HTTP/1.0"])
def test_it_is_uvicorns_own(run: Run, line: str, headers: tuple[str, ...], adds: bool) -> None:
    ours, theirs = Answering(Head(START)), Answering(None)
    ours.adds = theirs.adds = adds

    async def body() -> None:
        assert await answers(ours, line, *headers) == await answers(theirs, line, *headers)

    run(body())
    assert [{**left, "default_headers": 0} for left in ours.left] == [
        {**left, "default_headers": 0} for left in theirs.left
    ]


def test_it_has_the_date_of_now(run: Run) -> None:
    app = Answering(Head(START))

    async def body() -> None:
        async with timeless(app) as server:
            for date in (b"one", b"two", b"two"):
                if server.server_state.default_headers != [(b"date", date)]:
                    server.server_state.default_headers = [(b"date", date)]
                async with client(server) as (reader, writer):
                    writer.write(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
                    assert b"\r\ndate: " + date + b"\r\n" in await reader.read()

    run(body())


def test_to_a_client_that_has_left_there_is_none(run: Run) -> None:
    head = Head(START)
    given: list[bytes] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        cycle = scope["extensions"][EXTENSION][1]()
        cycle.disconnected = len(given) == 1
        given.append(await head.begin(cycle, send))
        cycle.transport.abort()

    async def body() -> None:
        async with serving(app) as server:
            for _ in range(2):
                async with client(server) as (reader, writer):
                    writer.write(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
                    with pytest.raises(asyncio.IncompleteReadError):
                        await reader.readexactly(1)

    run(body())
    assert given[0].startswith(b"HTTP/1.1 200 OK\r\n")
    assert given[1] == b""
