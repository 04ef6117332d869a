"""One HTTP connection: uvicorn's own, with limits on the request's head, and what it lends to a stream."""

from __future__ import annotations

import socket
import struct
import weakref
from typing import TYPE_CHECKING, Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.protocols.utils import is_ssl

from sse_service.http.uvicorn.flow import Flow
from sse_service.http.uvicorn.loan import EXTENSION, Loan
from sse_service.http.uvicorn.nobody import NOBODY, NOTHING_WAITS
from sse_service.http.uvicorn.refusals import HEAD_SECONDS, MALFORMED, MAX_HEAD_BYTES, TOO_LONG, TOO_SLOW

if TYPE_CHECKING:
    import asyncio

    from uvicorn.protocols.http.httptools_impl import RequestResponseCycle

    from sse_service.http.uvicorn.door import Door

BODY_SECONDS = 10
"""How long the rest of a body may take to come that nobody reads."""

MAX_PIPELINED = 10
"""Requests that may wait behind one that is being answered: each is parsed and held at once."""

LATE_SECONDS = 1
"""A deadline that comes so late was held up by the process itself: what the peer has sent is read first."""

LINGER_SECONDS = 30
"""How long the last bytes of a closing connection may take to leave."""

REFUSED_SECONDS = 2
"""How long a peer whose request was refused may go on sending."""

REFUSED_BYTES = 2 * 1024 * 1024
"""And how much."""

_NO_LINGER = struct.pack("ii", 1, 0)  # struct linger: on, for 0 s


class Connection(HttpToolsProtocol):
    """uvicorn's protocol class, which lends itself to streams.

    It refuses a head over 16 KiB (431), and one that is slow to come (408).
    """

    # An object with more than 30 names in its dict (CPython's SHARED_KEYS_MAX_SIZE) shares none with its kind: 1.5 kB.
    __slots__ = (
        "_body_open",
        "_deadline",
        "_door",
        "_head_bytes",
        "_hosts",
        "_linger",
        "_loan",
        "_refused",
        "_running",
        "_unparsed_bytes",
    )

    def __init__(self, *args: Any, door: Door, **kwargs: Any) -> None:
        """What is given by place is uvicorn's."""
        super().__init__(*args, **kwargs)
        self._door = door
        self._loan: Loan | None = None
        self._linger: asyncio.TimerHandle | None = None
        self._deadline: asyncio.TimerHandle | None = None
        self._running: RequestResponseCycle | None = None
        self._refused = False
        self._body_open = False
        self._head_bytes = 0
        self._hosts = 0
        self._unparsed_bytes = 0

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn's
        """Wait for the first request.

        In uvicorn's place, which makes a socket of the transport's to ask the kernel for what the transport knows: a
        tenth of an opening.
        """
        self.connections.add(self)
        self.transport, self.flow = transport, Flow(transport)
        self.server = _address(transport.get_extra_info("sockname"))
        self.client = _address(transport.get_extra_info("peername"))
        self.scheme = "https" if is_ssl(transport) else "http"
        if not self._door.admits(len(self.connections)):
            self.cut()
            return
        self._wait_for_head()

    def data_received(self, data: bytes) -> None:
        """Feed the parser; a line that does not end, a trailer's too, is counted by what came: the parser keeps it."""
        if self._refused:
            self._unparsed_bytes += len(data)
            if self._unparsed_bytes > REFUSED_BYTES:
                self.cut()
            return
        if self._loan is not None:
            # Behind a request whose answer says ``Connection: close`` nothing is read (RFC 9112 §9.6)
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
            # A trailer, which is no header field of the request (RFC 9110 §6.5.1)
            return
        self._hosts += name.lower() == b"host"
        super().on_header(name, value)

    def on_body(self, body: bytes) -> None:
        """What came was no line."""
        self._unparsed_bytes = 0
        super().on_body(body)

    def on_message_complete(self) -> None:
        """The request has come to its end."""
        super().on_message_complete()
        self._forget_deadline()
        if self._body_open and self.cycle.response_complete:
            # Answered before its body had come, which has ended uvicorn's wait for the next request
            self._unset_keepalive_if_required()
            self.timeout_keep_alive_task = self.loop.call_later(
                self.timeout_keep_alive, self.timeout_keep_alive_handler
            )
        self._body_open = False

    def on_headers_complete(self) -> None:
        """Offer the connection to this request."""
        self._forget_deadline()
        if self._hosts > 1 or (not self._hosts and self.parser.get_http_version() == "1.1"):
            raise ValueError("there must be one Host (RFC 9112 §3.2)")
        super().on_headers_complete()
        self._body_open = True
        if self._door.draining:
            self.cycle.keep_alive = False
        # Weak, or each request would be left to the garbage collector: its scope is held by both.
        extensions: dict[str, Any] = {EXTENSION: (weakref.ref(self), weakref.ref(self.cycle))}
        self.scope["extensions"] = extensions

    def lend(self, cycle: RequestResponseCycle) -> Loan:
        """Give the running response what a stream needs, and the connection's end."""
        loan = Loan(self, cycle)
        self._running = cycle
        # uvicorn tells the request that was read last that the client has left: it must be this one.
        self.pipeline.clear()
        self.cycle = cycle
        if self.transport.is_closing() or self._refused:
            cycle.disconnected = True
            loan.wake()
        else:
            self._loan = loan
            # A body that nobody reads may have stopped it; an end is noticed by reading alone.
            self.flow.resume_reading()
        return loan

    def forget_request(self, cycle: RequestResponseCycle) -> None:
        """Drop the parser, the header fields, and what nobody waits in any more: an empty deque has 600 bytes."""
        self.pipeline = NOTHING_WAITS
        self.parser = None  # type: ignore[assignment]  # as uvicorn itself does at the end
        self.headers.clear()
        cycle.scope["headers"].clear()  # type: ignore[attr-defined]  # a list, which may be another one by now
        cycle.message_event = NOBODY  # type: ignore[assignment]  # uvicorn only sets it from here on

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: Any) -> None:
        self._running = cycle
        super()._start_asgi_task(cycle, app)

    def on_response_complete(self) -> None:
        """A closing connection waits for its peer to take the last bytes, but not for ever."""
        super().on_response_complete()
        if self.transport.is_closing():
            self._wait_for_last_bytes()
        elif self._body_open and self.cycle.response_complete:
            # Answered before its body has come, which could drip in for ever
            self._deadline = self.loop.call_later(BODY_SECONDS, self.cut)

    def timeout_keep_alive_handler(self) -> None:
        """No further request came."""
        super().timeout_keep_alive_handler()
        self._wait_for_last_bytes()

    def _wait_for_last_bytes(self) -> None:
        if self._linger is None:
            self._linger = self.loop.call_later(LINGER_SECONDS, self.cut)

    def pause_writing(self) -> None:
        """The transport's buffer is full; only a stream's reader is watched by the timer."""
        super().pause_writing()
        if self._loan is None:
            self._wait_for_last_bytes()

    def cut(self) -> None:
        """Close at once, in the kernel too: it would keep what a peer does not take, and the socket, for minutes."""
        if (sock := self.transport.get_extra_info("socket")) is not None and sock.fileno() >= 0:
            # A close that lingers for no time is a reset (socket(7), SO_LINGER)
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _NO_LINGER)
        self.transport.abort()

    def resume_writing(self) -> None:
        """The transport's buffer is low again."""
        super().resume_writing()
        if self._linger is not None and not self.transport.is_closing():
            self._linger.cancel()
            self._linger = None
        if self._loan is not None and self._loan.on_writable is not None:
            self._loan.on_writable()

    def connection_lost(self, exc: Exception | None) -> None:
        """Let go of the stream."""
        if self._loan is not None:
            self._loan.wake()
        self._loan = None
        if self._running is not None:
            # uvicorn tells the request that was read last alone
            self._running.disconnected = True
        self._forget_deadline()
        if self._linger is not None:
            self._linger.cancel()
        super().connection_lost(exc)

    def send_400_response(self, msg: str) -> None:
        """Answer what the parser refused; 431 (RFC 6585 §5) where the head was too long."""
        if self.transport.is_closing():
            return
        if self._head_bytes > MAX_HEAD_BYTES:
            self._refuse(TOO_LONG)
        else:
            self._refuse(MALFORMED)

    def _refuse(self, answer: bytes) -> None:
        """Answer, and read on for a moment without looking: a close would reset what the peer is still sending, and
        with it the answer (RFC 9112 §9.6).
        """
        self._refused = True
        self._forget_deadline()
        if (running := self._running) is not None and not running.response_complete:
            # A valid request with rubbish behind it: the refusal is the answer to both.
            running.disconnected = True
            running.message_event.set()
            self.pipeline.clear()
            if running.response_started:
                self.cut()
                return
        self.transport.write(answer)
        self.transport.write_eof()
        self._linger = self.loop.call_later(REFUSED_SECONDS, self.cut)

    def _keep_watch(self) -> None:
        """Let nothing that came hold the connection: an empty line ends uvicorn's wait and begins no request."""
        waits = self._deadline or self.timeout_keep_alive_task or self._loan
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
            # A browser that has connected in advance would take an answer for that to its next request.
            self.transport.close()
            self._wait_for_last_bytes()

    def _forget_deadline(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None

    def _count(self, size: int) -> None:
        self._unparsed_bytes = 0
        self._head_bytes += size
        if self._head_bytes > MAX_HEAD_BYTES:
            raise ValueError("head too long")


def _address(name: tuple[Any, ...] | None) -> tuple[str, int] | None:
    """Host and port of TCP, of IPv6 without flow and scope; None where the peer has gone."""
    return (str(name[0]), int(name[1])) if name else None
