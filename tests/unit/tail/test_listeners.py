"""How the listeners take the answers of servers, over real connections."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import aclosing, asynccontextmanager
from pathlib import Path

import aiohttp
import pytest
from aiohttp import web

from sse_service.http.sockets import listen
from sse_service.tail.blocks import Block, Lost, Refused
from sse_service.tail.listeners import LISTENERS, Request, open_session

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

every_protocol = pytest.mark.parametrize("protocol", LISTENERS)


@asynccontextmanager
async def serving(handler: Handler) -> AsyncIterator[str]:
    """Serve every path with one handler, and yield the server's URL."""
    app = web.Application()
    app.router.add_get("/{path:.*}", handler)
    runner = web.AppRunner(app)
    await runner.setup()
    with listen("127.0.0.1", 0) as sock:
        await web.SockSite(runner, sock).start()
        try:
            yield f"http://127.0.0.1:{sock.getsockname()[1]}"
        finally:
            await runner.cleanup()


async def listened(url: str, protocol: str) -> list[Block]:
    """Return all blocks until the connection ends."""
    async with (
        open_session(url) as session,
        aclosing(LISTENERS[protocol](session, Request(url, "token", {}))) as blocks,
    ):
        return [block async for block in blocks]


def answered(protocol: str, answer: Callable[[], web.Response]) -> list[Block]:
    """Return all blocks of a server that gives this answer to everything."""

    async def handler(_: web.Request) -> web.Response:
        return answer()

    async def test() -> list[Block]:
        async with serving(handler) as url:
            return await listened(url, protocol)

    return asyncio.run(test())


@every_protocol
@pytest.mark.parametrize("status", [400, 401, 403, 404, 501])
def test_a_refusal_is_final_and_has_the_services_words(protocol: str, status: int) -> None:
    with pytest.raises(Refused, match=f"{status}: the token has expired"):
        answered(protocol, lambda: web.json_response({"detail": "the token has expired"}, status=status))


@every_protocol
@pytest.mark.parametrize("status", [408, 429, 500, 502, 503])
def test_trouble_is_a_loss_with_the_pause_that_the_answer_names(protocol: str, status: int) -> None:
    with pytest.raises(Lost, match=f"{status}: wait") as lost:
        answered(protocol, lambda: web.json_response({"detail": "wait"}, status=status, headers={"Retry-After": "7"}))
    assert lost.value.retry_seconds == 7


@every_protocol
@pytest.mark.parametrize("after", ["", "soon", "-1", "1e9", "9" * 400, "Tue, 01 Dec 2026 00:00:00 GMT"])
def test_an_unusable_retry_after_is_none(protocol: str, after: str) -> None:
    with pytest.raises(Lost) as lost:
        answered(protocol, lambda: web.Response(status=503, headers={"Retry-After": after}))
    assert lost.value.retry_seconds is None


@every_protocol
@pytest.mark.parametrize("body", ["<html>", "{}", "[]", "null"])
@pytest.mark.parametrize("content_type", ["text/html", "application/json"])
def test_the_answer_of_another_server_is_refused(protocol: str, body: str, content_type: str) -> None:
    with pytest.raises(Refused, match="does not come from sse-service"):
        answered(protocol, lambda: web.Response(text=body, content_type=content_type))


@every_protocol
def test_no_redirect_is_followed(protocol: str) -> None:
    asked: list[str] = []

    async def elsewhere(request: web.Request) -> web.StreamResponse:
        asked.append(request.path)
        return web.Response()

    async def test() -> None:
        async with serving(elsewhere) as target:

            async def handler(request: web.Request) -> web.StreamResponse:
                raise web.HTTPTemporaryRedirect(f"{target}{request.path}")

            async with serving(handler) as url:
                with pytest.raises(Refused, match="307"):
                    await listened(url, protocol)

    asyncio.run(test())
    assert asked == []


@every_protocol
def test_passwords_and_proxies_of_the_environment_do_not_concern_this_machine(
    protocol: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    netrc = tmp_path / "netrc"
    netrc.write_text("default login other password secret\n")
    netrc.chmod(0o600)
    monkeypatch.setenv("NETRC", str(netrc))
    monkeypatch.setenv("HTTP_PROXY", "http://192.0.2.1:1")
    sent: list[str] = []

    async def handler(request: web.Request) -> web.StreamResponse:
        sent.append(request.headers["Authorization"])
        raise web.HTTPForbidden

    async def test() -> None:
        async with serving(handler) as url:
            with pytest.raises(Refused):
                await listened(url, protocol)

    asyncio.run(test())
    assert set(sent) == {"Bearer token"}


@pytest.mark.parametrize("message", ["x", "1", "{}", b"\xff"])
def test_a_socket_that_brings_anything_else_is_lost(message: str | bytes) -> None:
    async def handler(request: web.Request) -> web.StreamResponse:
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        await (socket.send_str(message) if isinstance(message, str) else socket.send_bytes(message))
        await socket.close()
        return socket

    async def test() -> None:
        async with serving(handler) as url:
            with pytest.raises(Lost, match="no message of sse-service"):
                await listened(url, "websocket")

    asyncio.run(test())


def test_polls_bring_what_a_stream_would_bring_and_go_on_at_their_cursor() -> None:
    asked: list[tuple[str, str]] = []

    async def handler(request: web.Request) -> web.StreamResponse:
        asked.append((request.query.get("lastEventId", request.query.get("since", "")), request.query["wait"]))
        number = len(asked)
        events = [{"id": f"e.{number}.a", "type": [None, "done"][number - 1], "data": str(number)}]
        rest = {"cursor": f"e.{number}.0", "gap": "epoch" if number == 1 else None, "resumed": False, "user": "42"}
        return web.json_response({"events": events, **rest, "more": False})

    async def test() -> list[Block]:
        async with (
            serving(handler) as url,
            open_session(url) as session,
            aclosing(LISTENERS["polling"](session, Request(url, "token", {"since": "all"}))) as blocks,
        ):
            return [await anext(blocks) for _ in range(6)]

    assert asyncio.run(test()) == [
        # As a stream has them.
        Block("stream.ready", '{"resumed":false,"user":"42"}'),
        Block("stream.gap", '{"reason":"epoch"}'),
        Block("message", "1", "e.1.a"),
        Block("stream.cursor", "{}", "e.1.0"),
        Block("done", "2", "e.2.a"),
        Block("stream.cursor", "{}", "e.2.0"),
    ]
    # The first does not wait, so that a client that comes back is told at once how it goes on.
    assert asked == [("all", "0"), ("e.1.0", "25")]


@every_protocol
def test_a_server_that_is_away_is_a_loss(protocol: str) -> None:
    with listen("127.0.0.1", 0) as sock:
        url = f"http://127.0.0.1:{sock.getsockname()[1]}"
    with pytest.raises(aiohttp.ClientError):
        asyncio.run(listened(url, protocol))
