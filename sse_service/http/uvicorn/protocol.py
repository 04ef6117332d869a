"""One HTTP connection: it lends its transport to streams, and limits how long a peer may take its last bytes."""

from __future__ import annotations

import asyncio
import weakref
from typing import TYPE_CHECKING, Any

from sse_service.http.uvicorn import request_limits as limits
from sse_service.http.uvicorn.request_reader import NO_PIPELINE, RequestReader
from sse_service.http.uvicorn.transport import EXTENSION, StreamTransport

if TYPE_CHECKING:
    from starlette.types import ASGIApp
    from uvicorn.protocols.http.httptools_impl import RequestResponseCycle

    from sse_service.http.uvicorn.connection_limit import ConnectionLimit
    from sse_service.telemetry.health import Health


SUSPENDED_SCOPE: Any = {"type": "http", "method": "GET"}
"""What uvicorn needs of a request's scope to send its answer. Only a GET is suspended."""

_UNUSED_EVENT = asyncio.Event()  # an answer that is late reads no body, so nobody waits for this


def _share_callback(cycle: RequestResponseCycle) -> None:
    """Replace the function that uvicorn makes for each cycle at the end of its task: 150 bytes."""
    if cycle.disconnected:
        cycle.on_response = _nothing


def _nothing() -> None:
    """Stand for ``on_response_complete`` when a task has ended, as uvicorn's does."""


class HTTPProtocol(RequestReader):
    """The protocol class of both ports.

    It relies on uvicorn's internals. A test lists each of them, and fails if a version of uvicorn lacks one.
    """

    __slots__ = ("_health", "_stream")

    def __init__(self, *args: Any, limit: ConnectionLimit, health: Health, **kwargs: Any) -> None:
        """The positional arguments are uvicorn's."""
        super().__init__(*args, limit=limit, **kwargs)
        self._health = health
        # The stream that has taken over this connection, if any.
        self._stream: StreamTransport | None = None

    # A request arrives

    def data_received(self, data: bytes) -> None:
        """Feed the parser, or the protocol that a client and a stream have changed to."""
        if self._stream is None or self._stream.keep_alive or self._refused:
            if self.parser is None:
                self.make_parser()
            super().data_received(data)
        elif self._stream.on_data is not None:
            self._stream.on_data(data)
        # Otherwise the answer says ``Connection: close``, so later requests are not read (RFC 9112 §9.6).

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

    # A response is sent

    def take_over(self, cycle: RequestResponseCycle, *, keep_alive: bool) -> StreamTransport:
        """Give the connection to a stream: until it closes, or with ``keep_alive`` until the response is complete."""
        stream = StreamTransport(self, cycle, keep_alive=keep_alive)
        self._running = cycle
        if not keep_alive:
            # uvicorn tells only the newest request that the client has left. It must be this one.
            self.pipeline = NO_PIPELINE
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

    def release_request(self, cycle: RequestResponseCycle) -> None:
        """Free everything that belongs to a request, because its stream goes on without it."""
        # Otherwise uvicorn would take the end of the request's task for a response that was forgotten.
        cycle.disconnected = True
        self._after_upgrade = self._running = None
        # uvicorn gives these their first values, which are None too, for the next request. Here none will come.
        self.parser = self.headers = self.scope = self.cycle = None  # type: ignore[assignment]
        self.server = self.client = None
        self.pipeline = NO_PIPELINE

    def suspend(self, cycle: RequestResponseCycle) -> None:
        """Free what reading the request took, except what its answer needs, and so that another request can follow."""
        # Otherwise uvicorn would take the end of the request's task for a response that was forgotten.
        cycle.disconnected = True
        # Middleware may have copied the list, and may need the origin for the answer.
        headers = cycle.scope["headers"]
        headers[:] = [header for header in headers if header[0] == b"origin"]  # type: ignore[index]  # a list
        cycle.scope, cycle.message_event = SUSPENDED_SCOPE, _UNUSED_EVENT
        cycle.body = b""  # type: ignore[assignment]  # smaller than an empty bytearray, and nobody adds to it
        self.loop.call_soon(_share_callback, cycle)
        if cycle is self.cycle and cycle.keep_alive and self._deadline is None:
            # Nothing of another request has come.
            self.parser = self.headers = self.scope = None  # type: ignore[assignment]  # their first values

    def resume(self, cycle: RequestResponseCycle, app: ASGIApp) -> None:
        """Run the rest of a suspended request."""
        cycle.disconnected = False
        # uvicorn has removed it at the end of the first task.
        cycle.on_response = self.on_response_complete
        self._start_asgi_task(cycle, app)

    def shutdown(self) -> None:
        """Let an idle connection close, as uvicorn does. Streams were told to end before, and need their last bytes."""
        if self._stream is None or self._stream.keep_alive:
            super().shutdown()

    def take_after_upgrade(self) -> bytes:
        """Return what the client has sent after its request to change the protocol, and forget it."""
        early, self._after_upgrade = self._after_upgrade or b"", None
        return early

    def close(self) -> None:
        """Close the connection after its last bytes are sent, within a time limit."""
        self.transport.close()
        self._wait_for_last_bytes()

    def close_if_draining(self, cycle: RequestResponseCycle) -> None:
        """Let the response close the connection if the task is ending. Must be called before the response starts."""
        if self._health.draining:
            cycle.keep_alive = False

    def on_response_complete(self) -> None:
        """Limit how long a closing connection waits for its peer, and how long the rest of a body may take."""
        self._stream = None
        super().on_response_complete()
        if self.transport.is_closing():
            self._wait_for_last_bytes()
        elif self._body_open and self.cycle.response_complete:
            # The answer was sent before the body ended, and the rest might never arrive.
            self._deadline = self.loop.call_later(limits.BODY_SECONDS, self.cut)
        if self._after_upgrade is not None and self.cycle.response_complete:
            # The protocol was not changed, so what follows is the next request.
            data = self.take_after_upgrade()
            if data and not self.transport.is_closing():
                self.data_received(data)

    def timeout_keep_alive_handler(self) -> None:
        """Close an idle connection."""
        super().timeout_keep_alive_handler()
        self._wait_for_last_bytes()

    def pause_writing(self) -> None:
        """The transport's buffer is full. The timer watches the readers of streams; all others get a deadline here."""
        super().pause_writing()
        if self._stream is None:
            self._wait_for_last_bytes()

    def resume_writing(self) -> None:
        """The transport's buffer has room again."""
        super().resume_writing()
        if self._linger is not None and not self.transport.is_closing():
            self._linger.cancel()
            self._linger = None
        if self._stream is not None and self._stream.on_writable is not None:
            self._stream.on_writable()

    def connection_lost(self, exc: Exception | None) -> None:
        """Tell the running response that the client has left."""
        stream, self._stream = self._stream, None
        if self._running is not None:
            # uvicorn tells only the newest request.
            self._running.disconnected = True
        self._cancel_deadline()
        if self._linger is not None:
            self._linger.cancel()
        super().connection_lost(exc)
        if stream is not None:
            stream.connection_lost()

    def _refuse(self, answer: bytes) -> None:
        if self._stream is not None:
            self._stream.connection_lost()
        super()._refuse(answer)
