"""Serves an ASGI app on real connections, in this process, and connects to it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import asynccontextmanager
from typing import Any

from starlette.types import Receive, Scope, Send

from sse_service.http.sockets import listen
from sse_service.http.uvicorn.connection_limit import ConnectionLimit
from sse_service.http.uvicorn.server import SecondaryServer, make_config
from sse_service.telemetry.health import Health
from tests.unit.task import wait_until

App = Callable[[Scope, Receive, Send], Awaitable[None]]
Run = Callable[[Coroutine[Any, Any, None]], None]


@asynccontextmanager
async def serving(
    app: App, *, limit: ConnectionLimit | None = None, health: Health | None = None
) -> AsyncIterator[SecondaryServer]:
    """Serve an app with the service's own protocol class."""
    with listen("127.0.0.1", 0) as sock:
        limit = limit or ConnectionLimit(connections=100, port_name="public")
        server = SecondaryServer(make_config(app, limit=limit, health=health or Health(dependencies={})))
        running = asyncio.create_task(server.serve(sockets=[sock]))
        await wait_until(lambda: server.started)
        try:
            yield server
        finally:
            server.should_exit = True
            await running


@asynccontextmanager
async def client(
    server: SecondaryServer, *, limit: int = 2**16
) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    """Open a connection to the server."""
    port = server.servers[0].sockets[0].getsockname()[1]
    reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=limit)
    try:
        yield reader, writer
    finally:
        writer.transport.abort()
