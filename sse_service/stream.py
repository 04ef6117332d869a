"""The response of a stream, built on sse-starlette's."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sse_starlette.sse import AppStatus, EventSourceResponse

from sse_service import frames
from sse_service.connection import lend

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from starlette.types import Receive, Scope, Send

    from sse_service.auth.base import Principal
    from sse_service.narrowing import Narrowing
    from sse_service.resume import Start
    from sse_service.streams import Streams

# Its own drain would cut every stream at once; ours closes them one by one, each with a ``stream.close``.
AppStatus.enable_automatic_graceful_drain = False

HEADERS = {
    # RFC 9111 §5.2.2.5 and .6: neither stored nor compressed on the way
    "Cache-Control": "no-store, no-transform",
    # nginx buffers a response unless told otherwise
    "X-Accel-Buffering": "no",
    # a client's next request must not land on a task that drains
    "Connection": "close",
}
"""Of every answer that is an event stream."""

_PREAMBLE = frames.chunk(frames.HEARTBEAT)


class EventStream(EventSourceResponse):
    """Writes Frames through what the connection lends; its task sleeps until the client leaves or the stream ends."""

    def __init__(
        self,
        *,
        streams: Streams,
        principal: Principal,
        address: str | None,
        start: Start,
        narrowing: Narrowing | None,
    ) -> None:
        super().__init__(_nothing(), ping=0)
        for name, value in HEADERS.items():
            self.headers[name] = value
        self._streams = streams
        self._principal = principal
        self._address = address
        self._start = start
        self._narrowing = narrowing

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Hold the Subscription around the response's life, so that it ends with it whatever happens."""
        loan = lend(scope)
        await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
        if scope["method"] == "HEAD":
            await send({"type": "http.response.body", "body": b""})
            return
        loan.write(_PREAMBLE)
        with self._streams.open(
            sink=loan,
            principal=self._principal,
            address=self._address,
            start=self._start,
            narrowing=self._narrowing,
        ) as subscription:
            while not subscription.closed:
                message = await receive()
                if message["type"] == "http.disconnect":
                    return
            # Within the block: a reader that stalls on the last bytes is still watched.
            await send({"type": "http.response.body", "body": b""})


async def _nothing() -> AsyncIterator[bytes]:
    """What the base class would iterate over; never asked."""
    return
    yield b""
