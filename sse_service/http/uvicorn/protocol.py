"""One HTTP connection: uvicorn's protocol, with limits on what a client may send, and a transport for streams."""

from __future__ import annotations

import socket
import struct
import weakref
from typing import TYPE_CHECKING, Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from sse_service.http.uvicorn.refusals import HEAD_SECONDS, MALFORMED, MAX_HEAD_BYTES, TOO_LONG, TOO_SLOW
from sse_service.http.uvicorn.transport import EXTENSION, StreamTransport

if TYPE_CHECKING:
    import asyncio

    from uvicorn.protocols.http.httptools_impl import RequestResponseCycle

    from sse_service.http.uvicorn.connection_limit import ConnectionLimit
    from sse_service.telemetry.health import Health

BODY_SECONDS = 10
"""How long the rest of a body may take that nobody reads."""

MAX_PIPELINED = 10
"""Requests that may wait behind one that is being answered. Each of them is parsed and held."""

LATE_SECONDS = 1
"""A deadline that fires this late was held up by the process itself. What the peer has sent is read first."""

LINGER_SECONDS = 30
"""How long the last bytes of a closing connection may take to leave."""

REFUSED_SECONDS = 2
"""How long a peer whose request was refused may go on sending."""

REFUSED_BYTES = 2 * 1024 * 1024
"""How much a peer whose request was refused may go on sending."""

_NO_LINGER = struct.pack("ii", 1, 0)  # struct linger: on, for 0 s


class HTTPProtocol(HttpToolsProtocol):
    """uvicorn's protocol class, made safe against slow, oversized and malformed requests.

    It answers 431 to a head over 16 KiB, and 408 to one that is slow to come.
    """

    # An object with more than 30 names in its dict (CPython's SHARED_KEYS_MAX_SIZE) shares none of them: 1.5 kB more.
    __slots__ = (
        *("_body_open", "_deadline", "_head_bytes", "_health", "_hosts", "_limit"),
        *("_linger", "_refused", "_running", "_stream", "_unparsed_bytes"),
    )

    def __init__(self, *args: Any, limit: ConnectionLimit, health: Health, **kwargs: Any) -> None:
        """The positional arguments are uvicorn's."""
        super().__init__(*args, **kwargs)
        self._limit = limit
        self._health = health
        # The stream that has taken this connection over.
        self._stream: StreamTransport | None = None
        # The request that is being answered.
        self._running: RequestResponseCycle | None = None
        # Cuts the connection unless its last bytes leave in time.
        self._linger: asyncio.TimerHandle | None = None
        # Ends the wait for a request's head, or for a body that nobody reads.
        self._deadline: asyncio.TimerHandle | None = None
        # Whether a request was refused: what comes after it is thrown away.
        self._refused = False
        # Whether the body of the request that is being read has not ended.
        self._body_open = False
        # Bytes of the request line and headers so far, and of what came since the parser last found something.
        self._head_bytes = 0
        self._unparsed_bytes = 0
        self._hosts = 0

    # A request comes in

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn's
        """Wait for the first request."""
        super().connection_made(transport)
        if self._limit.admits(len(self.connections)):
            self._wait_for_head()
        else:
            self.cut()

    def data_received(self, data: bytes) -> None:
        """Feed the parser. A line that does not end is counted here, because the parser keeps it to itself."""
        if self._refused:
            self._unparsed_bytes += len(data)
            if self._unparsed_bytes > REFUSED_BYTES:
                self.cut()
            return
        if self._stream is not None:
            # Nothing is read behind a request whose answer says ``Connection: close`` (RFC 9112 §9.6).
            return
        self._unparsed_bytes += len(data)
        super().data_received(data)
        self._keep_watch()
        if self._unparsed_bytes > MAX_HEAD_BYTES and not self._refused and not self.transport.is_closing():
            self._refuse(TOO_LONG)

    def on_message_begin(self) -> None:
        """Begin to count."""
        super().on_message_begin()
        self._head_bytes = self._unparsed_bytes = self._hosts = 0
        if self._deadline is None:
            self._wait_for_head()
        if len(self.pipeline) >= MAX_PIPELINED:
            self.cut()
            raise ValueError("too many requests behind one another")

    def on_url(self, url: bytes) -> None:
        """Count the request line."""
        self._count(len(url))
        super().on_url(url)

    def on_header(self, name: bytes, value: bytes) -> None:
        """Count a header line, with its colon and line end."""
        self._count(len(name) + len(value) + 4)
        if self._body_open:
            # A trailer is no header field of the request (RFC 9110 §6.5.1).
            return
        self._hosts += name.lower() == b"host"
        super().on_header(name, value)

    def on_headers_complete(self) -> None:
        """Offer the connection to this request's response."""
        self._forget_deadline()
        if self._hosts > 1 or (not self._hosts and self.parser.get_http_version() == "1.1"):
            raise ValueError("there must be one Host (RFC 9112 §3.2)")
        super().on_headers_complete()
        self._body_open = True
        if self._health.draining:
            self.cycle.keep_alive = False
        # Weak references: the protocol holds the scope, and a cycle would leave each request to the garbage collector.
        extensions: dict[str, Any] = {EXTENSION: (weakref.ref(self), weakref.ref(self.cycle))}
        self.scope["extensions"] = extensions

    def on_body(self, body: bytes) -> None:
        """Take a part of the body, which is no line."""
        self._unparsed_bytes = 0
        super().on_body(body)

    def on_message_complete(self) -> None:
        """Note that the request has ended."""
        super().on_message_complete()
        self._forget_deadline()
        if self._body_open and self.cycle.response_complete:
            # The answer came before the end of the body, and that end has cancelled uvicorn's keep-alive timeout.
            self._unset_keepalive_if_required()
            self.timeout_keep_alive_task = self.loop.call_later(
                self.timeout_keep_alive, self.timeout_keep_alive_handler
            )
        self._body_open = False

    # A response goes out

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: Any) -> None:
        self._running = cycle
        super()._start_asgi_task(cycle, app)

    def take_over(self, cycle: RequestResponseCycle) -> StreamTransport:
        """Give the connection to a response that lasts until the connection ends."""
        stream = StreamTransport(self, cycle)
        self._running = cycle
        # uvicorn tells only the newest request that the client has left. It must be this one.
        self.pipeline.clear()
        self.cycle = cycle
        if self.transport.is_closing() or self._refused:
            cycle.disconnected = True
            stream.lost()
        else:
            self._stream = stream
            # uvicorn may have stopped reading a body that nobody reads. Without reading, the end is not noticed.
            self.flow.resume_reading()
        return stream

    def release_request(self, cycle: RequestResponseCycle) -> None:
        """Free the parser and the header fields."""
        self.parser = None  # type: ignore[assignment]  # as uvicorn itself does at the end
        self.headers.clear()
        cycle.scope["headers"].clear()  # type: ignore[attr-defined]  # a list, and perhaps another one by now

    def on_response_complete(self) -> None:
        """Let a closing connection wait for its peer to take the last bytes, but not for ever."""
        super().on_response_complete()
        if self.transport.is_closing():
            self._wait_for_last_bytes()
        elif self._body_open and self.cycle.response_complete:
            # The answer came before the end of the body, which could take for ever.
            self._deadline = self.loop.call_later(BODY_SECONDS, self.cut)

    def timeout_keep_alive_handler(self) -> None:
        """Close: no further request came."""
        super().timeout_keep_alive_handler()
        self._wait_for_last_bytes()

    def pause_writing(self) -> None:
        """Note that the transport's buffer is full. The timer watches a stream's reader; others are watched here."""
        super().pause_writing()
        if self._stream is None:
            self._wait_for_last_bytes()

    def resume_writing(self) -> None:
        """Note that the transport's buffer has room again."""
        super().resume_writing()
        if self._linger is not None and not self.transport.is_closing():
            self._linger.cancel()
            self._linger = None
        if self._stream is not None and self._stream.on_writable is not None:
            self._stream.on_writable()

    # The connection ends

    def connection_lost(self, exc: Exception | None) -> None:
        """Tell the response that is running."""
        if self._stream is not None:
            self._stream.lost()
        self._stream = None
        if self._running is not None:
            # uvicorn tells only the newest request.
            self._running.disconnected = True
        self._forget_deadline()
        if self._linger is not None:
            self._linger.cancel()
        super().connection_lost(exc)

    def cut(self) -> None:
        """Close at once, in the kernel too: it would keep the socket, and what a peer does not take, for minutes."""
        if (sock := self.transport.get_extra_info("socket")) is not None and sock.fileno() >= 0:
            # A close that lingers for no time is a reset (socket(7), SO_LINGER).
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _NO_LINGER)
        self.transport.abort()

    def send_400_response(self, msg: str) -> None:
        """Answer what the parser has refused: 431 (RFC 6585 §5) where the head was too long."""
        if not self.transport.is_closing():
            self._refuse(TOO_LONG if self._head_bytes > MAX_HEAD_BYTES else MALFORMED)

    def _refuse(self, answer: bytes) -> None:
        """Answer, then read on for a moment without looking.

        A close would reset what the peer is still sending, and the answer with it (RFC 9112 §9.6).
        """
        self._refused = True
        self._forget_deadline()
        if (running := self._running) is not None and not running.response_complete:
            # A valid request with garbage behind it: the refusal answers both.
            running.disconnected = True
            running.message_event.set()
            self.pipeline.clear()
            if running.response_started:
                self.cut()
                return
        self.transport.write(answer)
        self.transport.write_eof()
        self._linger = self.loop.call_later(REFUSED_SECONDS, self.cut)

    # Deadlines

    def _keep_watch(self) -> None:
        """Keep a deadline for every connection. An empty line ends uvicorn's keep-alive timeout and begins nothing."""
        waits = self._deadline or self.timeout_keep_alive_task or self._stream
        answering = self._running is not None and not self._running.response_complete
        if not (waits or answering or self._refused or self.transport.is_closing()):
            self._wait_for_head()

    def _wait_for_head(self) -> None:
        self._deadline = self.loop.call_later(HEAD_SECONDS, self._end_wait, self.loop.time() + HEAD_SECONDS)

    def _end_wait(self, due: float) -> None:
        if (now := self.loop.time()) > due + LATE_SECONDS:
            self._deadline = self.loop.call_later(LATE_SECONDS, self._end_wait, now + LATE_SECONDS)
            return
        self._deadline = None
        if self._unparsed_bytes or self._head_bytes:
            self._refuse(TOO_SLOW)
        else:
            # A browser connects in advance. It would take a 408 for the answer to its next request.
            self.transport.close()
            self._wait_for_last_bytes()

    def _wait_for_last_bytes(self) -> None:
        if self._linger is None:
            self._linger = self.loop.call_later(LINGER_SECONDS, self.cut)

    def _forget_deadline(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None

    def _count(self, size: int) -> None:
        self._unparsed_bytes = 0
        self._head_bytes += size
        if self._head_bytes > MAX_HEAD_BYTES:
            raise ValueError("head too long")
