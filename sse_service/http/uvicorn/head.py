"""The head of every stream's answer, which uvicorn makes once a second instead of once a stream.

All streams have the same head but for the date, and making it is a tenth of an opening. It is safe as the bytes are
uvicorn's own, from the last stream that had the same date, and as they are used only where uvicorn's ``send`` would be
called directly and would not wait; a middleware that adds to the head, an older HTTP and a client that has left all
take the long way. The tests compare both ways, and what each leaves behind in the cycle.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from starlette.types import Message, Send
    from uvicorn.protocols.http.httptools_impl import RequestResponseCycle


class _Kept(list[bytes]):
    """Stands where uvicorn has the transport, and keeps what it writes."""

    write = list.append


class Head:
    """Gives the bytes, to be written by whoever asks."""

    def __init__(self, message: Message) -> None:
        """``message`` is ASGI's ``http.response.start`` of an answer without length that says ``Connection: close``."""
        self._start = message
        # uvicorn makes a new list for each date.
        self._fields: list[tuple[bytes, bytes]] | None = None
        self._bytes = b""

    def message(self) -> Message:
        """A new one for each stream: Starlette's middleware puts its own list of fields into what it is given."""
        return {**self._start}

    async def begin(self, cycle: RequestResponseCycle, send: Send) -> bytes:
        """Begin the response, as ``send`` would, and give the bytes instead of writing them."""
        waits, uvicorns_own = cycle.disconnected or cycle.flow.write_paused, bool(send == cycle.send)
        if waits or not uvicorns_own or cycle.scope["http_version"] != "1.1":
            return await self._made(cycle, send)
        if cycle.default_headers is not self._fields:
            self._bytes, self._fields = await self._made(cycle, send), cycle.default_headers
        cycle.response_started, cycle.waiting_for_100_continue = True, False
        cycle.chunked_encoding, cycle.keep_alive = True, False
        return self._bytes

    async def _made(self, cycle: RequestResponseCycle, send: Send) -> bytes:
        transport, kept = cycle.transport, _Kept()
        cycle.transport = kept  # type: ignore[assignment]  # for this one call
        try:
            await send(self.message())
        finally:
            cycle.transport = transport
        return b"".join(kept)
