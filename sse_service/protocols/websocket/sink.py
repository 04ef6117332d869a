"""Writes one client's messages."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sse_service.model.reasons import CloseReason
from sse_service.protocols.websocket.encoding import ENCODING_KEY, PING, encode, encode_service_event

if TYPE_CHECKING:
    from collections.abc import Callable

    from sse_service.http.uvicorn.transport import StreamTransport
    from sse_service.protocols.websocket.connection import Connection
    from sse_service.streams.frame import Frame
    from sse_service.streams.service_events import ServiceEvent
    from sse_service.streams.sink import Progress


UNAUTHORIZED, FORBIDDEN = 4401, 4403
"""Close codes for what is 401 and 403 in HTTP. RFC 6455 §7.4.2 leaves 4000 to 4999 to applications."""

CLOSE_CODES = {
    CloseReason.DRAIN: 1012,
    CloseReason.SLOW: 1013,
    CloseReason.EXPIRED: UNAUTHORIZED,
    CloseReason.LIMIT: 1013,
    CloseReason.MAX_AGE: 1000,
    CloseReason.ERROR: 1011,
    CloseReason.REVOKED: UNAUTHORIZED,
}
"""Close codes for the reasons of ``stream.close``. 1012 and above are in IANA's WebSocket registry."""


class WebSocketSink:
    """A Sink that encodes as WebSocket messages, and writes them to the transport."""

    __slots__ = ("_connection", "_heartbeat", "_send", "_transport")

    def __init__(self, transport: StreamTransport, connection: Connection, *, heartbeat: bytes = PING) -> None:
        """``heartbeat`` is in WebSocket frames."""
        self._transport = transport
        self._connection = connection
        self._heartbeat = heartbeat
        # Bound once, because a broadcast writes to thousands of sockets.
        self._send: Callable[[bytes], bool] = transport.write

    @property
    def on_writable(self) -> Callable[[], None] | None:
        """See ``streams.sink.Sink``."""
        return self._connection.on_writable

    @on_writable.setter
    def on_writable(self, call: Callable[[], None] | None) -> None:
        self._connection.on_writable = call

    def write(self, frame: Frame) -> bool:
        """Write an event. The first socket to write it encodes it for all."""
        return self._send(frame.encodings.get(ENCODING_KEY) or encode(frame))

    def write_service_event(self, event: ServiceEvent) -> bool:
        """Write a service event."""
        return self._send(encode_service_event(event))

    def heartbeat(self) -> bool:
        """Write a ping, and ``stream.heartbeat`` if the client asked for it."""
        return self._send(self._heartbeat)

    def size(self, frame: Frame) -> int:
        """Return the number of encoded bytes."""
        return len(frame.encodings.get(ENCODING_KEY) or encode(frame))

    def progress(self) -> Progress:
        """Ask the kernel how much the peer has acknowledged."""
        return self._transport.progress()

    def end(self, reason: CloseReason) -> None:
        """Begin the closing handshake, which says why."""
        self._connection.close(CLOSE_CODES[reason], reason)

    def abort(self) -> None:
        """Reset the connection, unless its peer has taken everything. Such a peer is told why it is closed."""
        if self._connection.closing or self.progress().pending:
            self._transport.abort()
