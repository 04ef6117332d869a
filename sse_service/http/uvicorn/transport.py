"""A stream's access to its connection: writing without a task and without waiting, and notice of its end."""

from __future__ import annotations

import socket
import struct
from fcntl import ioctl
from termios import TIOCOUTQ
from typing import TYPE_CHECKING, Any, Protocol

from sse_service.streams.sink import Progress

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable

    from starlette.types import ASGIApp
    from uvicorn.protocols.http.httptools_impl import RequestResponseCycle

    from sse_service.http.uvicorn.protocol import HTTPProtocol

EXTENSION = "sse_service.transport"
"""Key in the ASGI scope's ``extensions`` for weak references to the connection and the response."""

LAST_CHUNK = b"0\r\n\r\n"

_TCP_INFO = struct.Struct("=24xI28xI60xQ16xI")
"""linux/tcp.h: tcpi_unacked 24, tcpi_last_ack_recv 56 (ms), tcpi_bytes_acked 120, tcpi_notsent_bytes 144."""

_NONE = bytes(4)
"""A queue without bytes. TIOCOUTQ counts those that are not sent and those that are not acknowledged (tcp(7)).

Most peers have none pending, and TCP_INFO takes four times as long: uvloop duplicates the descriptor for it.
"""

_NOTHING_PENDING = Progress(0, pending=False)


class Held(Protocol):
    """What a connection holds until it is lost."""

    def end(self) -> None:
        """Release it. Called once."""
        ...


class StreamTransport:
    """The connection of one stream, or of one request that waits for events."""

    __slots__ = (
        *("_cycle", "_finished", "_flow", "_held", "_protocol", "_transport", "_waiter"),
        *("chunked", "closed", "keep_alive", "on_data", "on_writable"),
    )

    def __init__(self, protocol: HTTPProtocol, cycle: RequestResponseCycle, *, keep_alive: bool) -> None:
        self._protocol = protocol
        # None when the request is over and its stream goes on.
        self._cycle: RequestResponseCycle | None = cycle
        # A broadcast writes to thousands of transports, so these two are not looked up each time.
        self._transport = protocol.transport
        self._flow = protocol.flow
        self._held: Held | None = None
        self._finished = False
        self._waiter: asyncio.Future[None] | None = None
        self.on_writable: Callable[[], None] | None = None
        """Called when the transport accepts more after ``write`` has returned False."""
        self.on_data: Callable[[bytes], None] | None = None
        """Called with what the client sends, after ``switch_protocol``."""
        self.closed = False
        """Whether the client has left."""
        self.chunked = cycle.scope["http_version"] != "1.0"
        """Whether the body is in chunked coding. With HTTP/1.0, the close ends the body (RFC 9112 §6.3)."""
        self.keep_alive = keep_alive
        """Whether the connection can go on after the response."""

    def write(self, data: bytes) -> bool:
        """Send bytes, which must be in chunked coding if ``chunked``. Never waits and never raises.

        Returns False if the caller must hold back until ``on_writable`` is called.
        """
        # uvloop's transport raises when the connection is lost. The response learns of it a moment later.
        if self._finished or self._transport.is_closing():
            return False
        self._transport.write(data)
        return not self._flow.write_paused

    async def wait(self) -> None:
        """Wait for the next ``wake``, or until the client leaves."""
        if not self.closed:
            self._waiter = self._protocol.loop.create_future()
            await self._waiter
            self._waiter = None

    def wake(self) -> None:
        """Let ``wait`` return."""
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    def connection_lost(self) -> None:
        """Note that the client has left, and end what ``hold`` was given."""
        self.closed = True
        self.on_data = None
        self.wake()
        held, self._held = self._held, None
        if held is not None:
            held.end()

    def hold(self, held: Held) -> None:
        """Keep a stream until the connection is lost, and end it then. The request that began it must return.

        Its task, its scope and the rest of what it needs would take 7 kB for as long as the stream lasts.
        """
        if self.closed:
            held.end()
        elif self._cycle is not None:
            self._held = held
            self._protocol.release_request(self._cycle)
            self._cycle = None

    def suspend(self, held: Held) -> None:
        """Keep a stream in the same way, but let its request be answered after ``resume``. The request must return now.

        The caller keeps ``send`` for the answer, because middleware may have wrapped it.
        """
        if self.closed:
            held.end()
        elif self._cycle is not None:
            self._held = held
            self._protocol.suspend(self._cycle)

    def resume(self, app: ASGIApp) -> None:
        """Answer a suspended request: ``app`` runs as its task, and must end what ``suspend`` was given."""
        self._held = None
        if self._cycle is not None:
            self._protocol.resume(self._cycle, app)

    def close_if_draining(self) -> None:
        """Do not keep the connection alive if the task is ending. Must be called before the response starts."""
        if self._cycle is not None:
            self._protocol.close_if_draining(self._cycle)

    def switch_protocol(self, answer: bytes, on_data: Callable[[bytes], None]) -> None:
        """Send an answer of status 101. From then on, the connection's bytes are not HTTP's in either direction."""
        if self._cycle is not None:
            # uvicorn must neither send an answer of its own nor miss one.
            self._cycle.response_started = self._cycle.disconnected = True
        self.write(answer)
        self.on_data = on_data
        if early := self._protocol.take_after_upgrade():
            on_data(early)

    def pause_reading(self) -> None:
        """Let the client's bytes wait in the kernel."""
        self._flow.pause_reading()

    def resume_reading(self) -> None:
        """Read on after ``pause_reading``."""
        self._flow.resume_reading()

    @property
    def write_paused(self) -> bool:
        """Whether the caller must hold back until ``on_writable`` is called."""
        return self._flow.write_paused

    def finish(self) -> None:
        """Let ``write`` discard its data and return False from now on. What was written before is still sent."""
        self._finished = True

    def end_body(self) -> None:
        """Complete the response of a stream that is held, and close the connection after its last bytes are sent.

        While the reader holds back, this waits: the timer of streams knows whether it still reads, and ``close`` would
        give it 30 s.
        """
        if self._finished or self._transport.is_closing():
            return
        if self._flow.write_paused:
            self.on_writable = self.end_body
            return
        if self.chunked:
            self._transport.write(LAST_CHUNK)
        self.finish()
        self.close()

    def end_writing(self) -> None:
        """Close this direction alone. The client is still read from."""
        self.finish()
        if not self._transport.is_closing():
            self._transport.write_eof()

    def close(self) -> None:
        """Close the connection after its last bytes are sent."""
        self._protocol.close()

    def abort(self) -> None:
        """Close at once and discard unsent bytes. ``close()`` would wait for a peer that never reads."""
        self._protocol.cut()

    def progress(self) -> Progress:
        """Ask the kernel how much the peer has acknowledged (TCP_INFO)."""
        transport = self._transport
        if transport.is_closing():
            return Progress(0, pending=transport.get_write_buffer_size() > 0)
        sock = transport.get_extra_info("socket")
        if not transport.get_write_buffer_size() and ioctl(sock.fileno(), TIOCOUTQ, _NONE) == _NONE:
            return _NOTHING_PENDING
        raw = sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _TCP_INFO.size)
        unacked, silent_ms, acknowledged, unsent = _TCP_INFO.unpack(raw)
        pending = bool(unacked or unsent or transport.get_write_buffer_size())
        return Progress(acknowledged, pending=pending, silent_seconds=silent_ms / 1000)


def take_transport(scope: Any) -> StreamTransport:
    """Take over the connection of a request for a stream."""
    protocol, cycle = (ref() for ref in scope["extensions"][EXTENSION])
    transport: StreamTransport = protocol.take_over(cycle, keep_alive=False)
    if not transport.chunked:
        # uvicorn would use chunked coding for HTTP/1.0 too.
        cycle.chunked_encoding = False
    return transport


def borrow_transport(scope: Any) -> StreamTransport:
    """Take over the connection of a request until its response, which must have a length, is complete."""
    protocol, cycle = (ref() for ref in scope["extensions"][EXTENSION])
    if cycle.more_body:
        # Nothing reads the body of such a request, so the connection cannot be used again.
        cycle.keep_alive = False
    transport: StreamTransport = protocol.take_over(cycle, keep_alive=not cycle.more_body)
    return transport
