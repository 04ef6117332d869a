"""A back end and requests for tests of the authorizer."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

from aiohttp import web
from starlette.requests import HTTPConnection

from sse_service.auth.authorizer.url import URLAuthorizer
from sse_service.model.principal import Principal
from tests.integration.process import DEADLINE

ANSWER: dict[str, Any] = {"user": "42", "groups": ["ops"], "expires_in": 900}
PRINCIPAL = Principal("42", ("ops",), 1900, 1000.0, b"digest", renewable=True)

Handler = Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]


def request(*headers: tuple[str, str], kind: str = "http", method: str | None = "GET") -> HTTPConnection:
    raw = [(name.encode(), value.encode("latin-1")) for name, value in (("host", "push.example.com"), *headers)]
    scope = {"type": kind, "scheme": "https" if kind == "http" else "wss", "path": "/events", "headers": raw}
    return HTTPConnection(scope | ({"method": method} if kind == "http" else {}))


def cookie(value: str = "s=1") -> HTTPConnection:
    return request(("cookie", value))


@asynccontextmanager
async def backend(answer: Handler) -> AsyncIterator[str]:
    """Serve a back end on this event loop."""
    server = web.Server(answer)
    runner = web.ServerRunner(server, handle_signals=False)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    try:
        yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


@asynccontextmanager
async def running(authorizer: URLAuthorizer) -> AsyncIterator[None]:
    work = asyncio.create_task(authorizer.run())
    await asyncio.sleep(0)
    try:
        yield
    finally:
        work.cancel()
        await asyncio.wait([work])


def run(body: Callable[[], Awaitable[None]]) -> None:
    async def bounded() -> None:
        async with asyncio.timeout(DEADLINE):
            await body()

    asyncio.run(bounded())


class Gate:
    """A back end that counts requests, and answers when it is told to."""

    def __init__(self, status: int = 200) -> None:
        self.asked = 0
        self.status = status
        self.open = asyncio.Event()

    async def __call__(self, _: web.BaseRequest) -> web.StreamResponse:
        self.asked += 1
        await self.open.wait()
        return web.json_response(ANSWER, status=self.status)
