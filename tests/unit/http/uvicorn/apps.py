"""ASGI apps for tests of connections, and a request."""

from __future__ import annotations

from starlette.types import Receive, Scope, Send

from sse_service.http.uvicorn.transport import StreamTransport, take_transport

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


class HoldingApp:
    """An app whose requests return while their connections hold its streams."""

    def __init__(self) -> None:
        self.transports: list[StreamTransport] = []
        self.ended = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        transport = take_transport(scope)
        await send({"type": "http.response.start", "status": 200, "headers": [(b"connection", b"close")]})
        transport.hold(self)
        self.transports.append(transport)

    def end(self) -> None:
        self.ended += 1


async def plain_app(scope: Scope, receive: Receive, send: Send) -> None:
    """An app that answers at once."""
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"2")]})
    await send({"type": "http.response.body", "body": b"ok"})
