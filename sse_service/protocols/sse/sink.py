"""Writes one client's event stream."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sse_service.protocols.sse import encoding
from sse_service.protocols.sse.encoding import NAME, chunk, encode, encode_service_event, unchunk

if TYPE_CHECKING:
    from collections.abc import Callable

    from sse_service.http.uvicorn.transport import StreamTransport
    from sse_service.streams.frame import Frame
    from sse_service.streams.service_events import ServiceEvent
    from sse_service.streams.sink import Progress

MAX_KEPT_BYTES = 64 * 1024
"""How much may wait for the head: what uvicorn's own high-water mark lets wait for a reader."""

_HEARTBEAT = chunk(encoding.HEARTBEAT)


class EventStreamSink:
    """A Sink that encodes as Server-Sent Events.

    Until ``begin`` it keeps what it is given, so that the response's head and the greeting leave in one segment.
    """

    __slots__ = ("_kept", "_send", "_transport")

    def __init__(self, transport: StreamTransport) -> None:
        self._transport = transport
        # What waits for the head, chunk-coded.
        self._kept: list[bytes] = []
        # How bytes leave: bound once, because a broadcast writes to thousands of streams.
        self._send: Callable[[bytes], bool] = self._keep

    @property
    def on_writable(self) -> Callable[[], None] | None:
        """As in the contract."""
        return self._transport.on_writable

    @on_writable.setter
    def on_writable(self, call: Callable[[], None] | None) -> None:
        self._transport.on_writable = call

    def begin(self) -> None:
        """Write what was kept, behind the head, and keep nothing from now on."""
        kept, self._kept = [_HEARTBEAT, *self._kept], []
        if self._transport.chunked:
            self._send = self._transport.write
        else:
            self._send = self._send_unchunked
            kept = [unchunk(coded) for coded in kept]
        self._transport.write(b"".join(kept))
        if sum(map(len, kept)) >= MAX_KEPT_BYTES and self.on_writable is not None:
            self.on_writable()

    def write(self, frame: Frame) -> bool:
        """Write an event; the first stream that does encodes it for all others."""
        return self._send(frame.encodings.get(NAME) or encode(frame))

    def tell(self, event: ServiceEvent) -> bool:
        """Write a service event."""
        return self._send(encode_service_event(event))

    def heartbeat(self) -> bool:
        """Write a comment."""
        return self._send(_HEARTBEAT)

    def size(self, frame: Frame) -> int:
        """Count the encoded bytes."""
        return len(frame.encodings.get(NAME) or encode(frame))

    def progress(self) -> Progress:
        """Ask the kernel."""
        return self._transport.progress()

    def end(self) -> None:
        """Wake the response, which sees that the Subscription is closed."""
        self._transport.wake()

    def abort(self) -> None:
        """Reset the connection."""
        self._transport.abort()

    def _keep(self, coded: bytes) -> bool:
        self._kept.append(coded)
        self._transport.wake()
        return sum(map(len, self._kept)) < MAX_KEPT_BYTES

    def _send_unchunked(self, coded: bytes) -> bool:
        return self._transport.write(unchunk(coded))
