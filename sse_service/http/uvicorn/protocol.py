"""One HTTP connection: its requests, and the transport that it lends to a stream."""

from __future__ import annotations

import weakref
from typing import TYPE_CHECKING, Any

from sse_service.http.uvicorn.request_protocol import RequestProtocol
from sse_service.http.uvicorn.transport import EXTENSION, StreamTransport

if TYPE_CHECKING:
    from uvicorn.protocols.http.httptools_impl import RequestResponseCycle

    from sse_service.telemetry.health import Health


class HTTPProtocol(RequestProtocol):
    """A connection whose responses may take it over and write to it directly."""

    __slots__ = ("_health", "_stream")

    def __init__(self, *args: Any, health: Health, **kwargs: Any) -> None:
        """The other arguments are those of the base class."""
        super().__init__(*args, **kwargs)
        self._health = health
        # The stream that has taken over this connection, if any.
        self._stream: StreamTransport | None = None

    def data_received(self, data: bytes) -> None:
        """Read requests until a stream has the connection. Then the stream gets what the client sends, if it wants it.

        An event stream's answer says ``Connection: close``, so later requests are not read (RFC 9112 §9.6).
        """
        if self._stream is None or self._stream.keep_alive:
            super().data_received(data)
        elif self._stream.on_data is not None:
            self._stream.on_data(data)

    def on_headers_complete(self) -> None:
        """Offer the connection to this request's response."""
        super().on_headers_complete()
        if self._stream is not None:
            # uvicorn stops reading while a request waits behind another. A disconnect is noticed only by reading.
            self.flow.resume_reading()
        self.close_if_draining(self.cycle)
        # Weak references, because the protocol holds the scope. A cycle would leave requests to the garbage collector.
        extensions: dict[str, Any] = {EXTENSION: (weakref.ref(self), weakref.ref(self.cycle))}
        self.scope["extensions"] = extensions

    def take_over(self, cycle: RequestResponseCycle, *, keep_alive: bool) -> StreamTransport:
        """Give the connection to a stream: until it closes, or with ``keep_alive`` until the response is complete."""
        stream = StreamTransport(self, cycle, keep_alive=keep_alive)
        self._running = cycle
        if not keep_alive:
            # uvicorn tells only the newest request that the client has left. It must be this one.
            self.pipeline.clear()
            self.cycle = cycle
            # A part of a further request may have come, and its rest will not be read.
            self._cancel_deadline()
        if self.transport.is_closing() or self._refused:
            cycle.disconnected = True
            stream.connection_lost()
        else:
            self._stream = stream
            # uvicorn may have paused reading because nothing reads the body. A disconnect is noticed only by reading.
            self.flow.resume_reading()
        return stream

    def take_early_data(self) -> bytes:
        """Return what the client has sent after a request with ``Upgrade``."""
        data, self._after_upgrade = self._after_upgrade, None
        return data or b""

    def release_request(self, cycle: RequestResponseCycle) -> None:
        """Free the parser and the headers."""
        self.parser = None  # type: ignore[assignment]  # as uvicorn itself does at the end
        self.headers.clear()
        cycle.scope["headers"].clear()  # type: ignore[attr-defined]  # a list; middleware may have replaced it

    def close(self) -> None:
        """Close the connection when everything was sent, or after a time limit."""
        self.transport.close()
        self._wait_for_last_bytes()

    def close_if_draining(self, cycle: RequestResponseCycle) -> None:
        """Let the response close the connection if the task is ending. Must be called before the response starts."""
        if self._health.draining:
            cycle.keep_alive = False

    def on_response_complete(self) -> None:
        """Take the connection back."""
        self._stream = None
        super().on_response_complete()

    def pause_writing(self) -> None:
        """The transport's buffer is full. The timer watches the readers of streams; all others get a deadline here."""
        super().pause_writing()
        if self._stream is None:
            self._wait_for_last_bytes()

    def resume_writing(self) -> None:
        """The transport's buffer has room again."""
        super().resume_writing()
        if self._stream is not None and self._stream.on_writable is not None:
            self._stream.on_writable()

    def connection_lost(self, exc: Exception | None) -> None:
        """Tell the stream that the client has left."""
        if self._stream is not None:
            self._stream.connection_lost()
        self._stream = None
        super().connection_lost(exc)

    def _refuse(self, answer: bytes) -> None:
        """Tell the stream too: the refusal answers its request."""
        super()._refuse(answer)
        if self._stream is not None:
            self._stream.connection_lost()
