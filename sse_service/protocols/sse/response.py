"""The response of a stream, built on sse-starlette's."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from sse_starlette.sse import AppStatus, EventSourceResponse

from sse_service.http.uvicorn.head import Head
from sse_service.http.uvicorn.loan import lend
from sse_service.model.values import value
from sse_service.protocols.sse import frames

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from starlette.types import Scope, Send

    from sse_service.model.principal import Principal
    from sse_service.streams.filter import Filter
    from sse_service.streams.registry import Streams
    from sse_service.streams.start import Start

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


@value
class Opening:
    """What a request for a stream has asked for, and may have."""

    principal: Principal
    address: str | None
    start: Start
    narrowing: Filter | None


class EventStream(EventSourceResponse):
    """Writes Frames through what the connection lends; its task sleeps until the client leaves or the stream ends.

    One object answers all requests: what they have in common, head included, is not held for each.
    """

    def __init__(self, *, streams: Streams) -> None:
        super().__init__(_nothing(), ping=0)
        self.headers.update(HEADERS)
        self._head = Head({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
        self._streams = streams

    async def answer(self, scope: Scope, send: Send, opening: Opening) -> None:
        """Hold the Subscription around the response's life, so that it ends with it whatever happens."""
        loan = lend(scope)
        if loan.over.done():
            return
        if scope["method"] == "HEAD":
            await send(self._head.message())
            await send({"type": "http.response.body", "body": b""})
            return
        await loan.begin(send, self._head, _PREAMBLE)
        loan.forget_request()
        with self._streams.open(
            sink=loan,
            principal=opening.principal,
            address=opening.address,
            start=opening.start,
            narrowing=opening.narrowing,
        ) as subscription:
            # After the catch-up's turn, which greets the stream at once unless it waits for its broker
            asyncio.get_running_loop().call_soon(loan.flush)
            await loan.over
            loan.flush()
            if subscription.closed:
                # Within the block: a reader that stalls on the last bytes is still watched.
                await send({"type": "http.response.body", "body": b""})


async def _nothing() -> AsyncIterator[bytes]:
    """What the base class would iterate over; never asked."""
    return
    yield b""
