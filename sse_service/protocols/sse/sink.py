"""Writes one client's event stream."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sse_service.protocols.sse import encoding
from sse_service.protocols.sse.encoding import ENCODING_KEY, chunk, encode, encode_service_event, unchunk

if TYPE_CHECKING:
    from collections.abc import Callable

    from sse_service.http.uvicorn.transport import StreamTransport
    from sse_service.model.reasons import CloseReason
    from sse_service.streams.frame import Frame
    from sse_service.streams.service_events import ServiceEvent
    from sse_service.streams.sink import Progress

MAX_KEPT_BYTES = 64 * 1024
"""How much may be kept until the head is sent. Equal to uvicorn's high-water mark."""

COMMENT = chunk(encoding.HEARTBEAT)
"""The heartbeat that clients ignore."""


class EventStreamSink:
    """A Sink that encodes as Server-Sent Events.

    Until ``begin`` it keeps everything, so that the response's head and the greeting are sent in one segment.
    """

    __slots__ = ("_begun", "_heartbeat", "_kept", "_send", "_transport")

    def __init__(self, transport: StreamTransport, *, heartbeat: bytes = COMMENT) -> None:
        """``heartbeat`` is in chunked coding."""
        self._transport = transport
        self._heartbeat = heartbeat
        self._begun = False
        # Bytes to send after the head, in chunked coding.
        self._kept: list[bytes] = []
        # Bound once, because a broadcast writes to thousands of streams.
        self._send: Callable[[bytes], bool] = self._keep

    @property
    def on_writable(self) -> Callable[[], None] | None:
        """See ``streams.sink.Sink``."""
        return self._transport.on_writable

    @on_writable.setter
    def on_writable(self, call: Callable[[], None] | None) -> None:
        self._transport.on_writable = call

    def begin(self) -> None:
        """Write the kept bytes after the head. From now on, bytes are sent at once."""
        was_full = self._is_full()
        kept, self._kept = [self._heartbeat, *self._kept], []
        self._begun = True
        if self._transport.chunked:
            self._send = self._transport.write
        else:
            self._send = self._send_unchunked
            kept = [unchunk(coded) for coded in kept]
        self._transport.write(b"".join(kept))
        if was_full and self.on_writable is not None:
            self.on_writable()

    def write(self, frame: Frame) -> bool:
        """Write an event. The first stream to write it encodes it for all."""
        return self._send(frame.encodings.get(ENCODING_KEY) or encode(frame))

    def write_service_event(self, event: ServiceEvent) -> bool:
        """Write a service event."""
        return self._send(encode_service_event(event))

    def heartbeat(self) -> bool:
        """Write a comment or a ``stream.heartbeat``."""
        return self._send(self._heartbeat)

    def size(self, frame: Frame) -> int:
        """Return the number of encoded bytes."""
        return len(frame.encodings.get(ENCODING_KEY) or encode(frame))

    def progress(self) -> Progress:
        """Ask the kernel how much the peer has acknowledged."""
        return self._transport.progress()

    def end(self, _: CloseReason) -> None:
        """Complete the response, or wake it if it has not begun: it then sees that the Subscription is closed."""
        if self._begun:
            self._transport.end_body()
        else:
            self._transport.wake()

    def abort(self) -> None:
        """Reset the connection."""
        self._transport.abort()

    def _keep(self, coded: bytes) -> bool:
        self._kept.append(coded)
        self._transport.wake()
        return not self._is_full()

    def _is_full(self) -> bool:
        return sum(map(len, self._kept)) >= MAX_KEPT_BYTES

    def _send_unchunked(self, coded: bytes) -> bool:
        return self._transport.write(unchunk(coded))
