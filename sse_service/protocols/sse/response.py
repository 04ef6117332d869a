"""The response of a stream, built on sse-starlette's."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from sse_starlette.sse import AppStatus, EventSourceResponse

from sse_service.http.uvicorn.transport import take_transport
from sse_service.protocols.sse.sink import EventStreamSink

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from starlette.types import Message, Scope, Send

    from sse_service.http.uvicorn.transport import StreamTransport
    from sse_service.protocols.admission import StreamRequest
    from sse_service.streams.registry import StreamRegistry

# sse-starlette's own drain would cut every stream at once. Ours closes them one by one, each with a ``stream.close``.
AppStatus.enable_automatic_graceful_drain = False

HEADERS = {
    # Neither stored nor compressed on the way (RFC 9111 §5.2.2.5 and §5.2.2.6).
    "Cache-Control": "no-store, no-transform",
    # nginx buffers a response unless it is told otherwise.
    "X-Accel-Buffering": "no",
    # A client's next request must not arrive on a draining task by the same connection.
    "Connection": "close",
}
"""The headers of every answer that is an event stream."""

GREETING_SECONDS = 0.02
"""How long the head waits for ``stream.ready``. One segment costs both ends far less than two."""


class EventStream(EventSourceResponse):
    """Answers every request for a stream. The request's task sleeps until the client leaves or the stream ends.

    One object serves all streams: what they have in common is not held for each of them.
    """

    def __init__(self, *, streams: StreamRegistry) -> None:
        super().__init__(_nothing(), ping=0)
        self.headers.update(HEADERS)
        self._streams = streams

    async def answer(self, scope: Scope, send: Send, request: StreamRequest) -> None:
        """Hold the Subscription around the response's life, so that it ends with it whatever happens."""
        transport = take_transport(scope)
        if transport.closed:
            return
        if scope["method"] == "HEAD":
            await send(self._start())
            await send({"type": "http.response.body", "body": b""})
            return
        sink = EventStreamSink(transport)
        with self._streams.open(
            sink=sink,
            principal=request.principal,
            address=request.address,
            start=request.start,
            filter=request.filter,
        ) as subscription:
            await _greeting(transport)
            await send(self._start())
            transport.release_request()
            sink.begin()
            while not (subscription.closed or transport.closed):
                await transport.wait()
            if subscription.closed:
                # Within the block: a reader that stalls on the last bytes is still watched.
                await send({"type": "http.response.body", "body": b""})

    def _start(self) -> Message:
        """Make a new message for each stream: Starlette's middleware puts its own headers into what it is given."""
        return {"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers}


async def _greeting(transport: StreamTransport) -> None:
    """Wait until the sink has something to write behind the head. A slow broker delays the head by no more than this.

    On its own, so that the timer does not stay in memory for as long as the stream.
    """
    timer = asyncio.get_running_loop().call_later(GREETING_SECONDS, transport.wake)
    await transport.wait()
    timer.cancel()


async def _nothing() -> AsyncIterator[bytes]:
    """What the base class would iterate over; nobody does."""
    return
    yield b""
