"""The response of a stream, built on the one of sse-starlette."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from sse_starlette.sse import AppStatus, EventSourceResponse

from sse_service.http.uvicorn.transport import take_transport
from sse_service.protocols.sse.encoding import encode_service_event
from sse_service.protocols.sse.sink import COMMENT, EventStreamSink
from sse_service.streams import service_events

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from starlette.types import Message, Scope, Send

    from sse_service.http.uvicorn.transport import StreamTransport
    from sse_service.protocols.admission import StreamRequest
    from sse_service.streams.registry import StreamRegistry

# sse-starlette's own drain would cut all streams at once. Ours closes them one by one, each with a ``stream.close``.
AppStatus.enable_automatic_graceful_drain = False

HEADERS = {
    # Proxies must neither store nor compress the stream (RFC 9111 §5.2.2.5 and §5.2.2.6).
    "Cache-Control": "no-store, no-transform",
    # nginx buffers responses by default.
    "X-Accel-Buffering": "no",
    # A client's next request must not reach a draining task over the same connection.
    "Connection": "close",
}
"""The headers of every answer that is an event stream."""

GREETING_SECONDS = 0.02
"""How long the head waits for ``stream.ready``: one TCP segment costs both ends far less than two."""


class EventStream(EventSourceResponse):
    """Answers every request for a stream. The request's task ends when the stream has begun.

    From then on the connection holds the stream. One object serves all streams, so common state is not kept per stream.
    """

    def __init__(self, *, streams: StreamRegistry, heartbeat_seconds: int) -> None:
        super().__init__(_empty_body(), ping=0)
        self.headers.update(HEADERS)
        self._streams = streams
        self._heartbeat_event = encode_service_event(service_events.heartbeat(heartbeat_seconds))

    async def answer(self, scope: Scope, send: Send, request: StreamRequest) -> None:
        """Begin the stream, and let its connection hold it. The Subscription ends with the connection in any case."""
        transport = take_transport(scope)
        if transport.closed:
            return
        if scope["method"] == "HEAD":
            await send(self._start())
            await send({"type": "http.response.body", "body": b""})
            return
        sink = EventStreamSink(transport, heartbeat=self._heartbeat_event if request.heartbeat_events else COMMENT)
        stream = self._streams.open(
            protocol="sse",
            sink=sink,
            principal=request.principal,
            address=request.address,
            start=request.start,
            filter=request.filter,
        )
        with stream as subscription:
            await _wait_for_greeting(transport)
            await send(self._start())
            transport.hold(stream.detach())
            sink.begin()
            if subscription.closed:
                transport.end_body()

    def _start(self) -> Message:
        """Make a new message for each stream, because Starlette's middleware adds headers to it in place."""
        return {"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers}


async def _wait_for_greeting(transport: StreamTransport) -> None:
    """Wait until the sink has something to write after the head, but at most GREETING_SECONDS."""
    timer = asyncio.get_running_loop().call_later(GREETING_SECONDS, transport.wake)
    await transport.wait()
    timer.cancel()


async def _empty_body() -> AsyncIterator[bytes]:
    """The base class needs an iterator. It is never used."""
    return
    yield b""
