"""What a response that lasts needs of its connection: to write without a task or a wait, and to hear of its end."""

from __future__ import annotations

import socket
import struct
from typing import TYPE_CHECKING, Any

from sse_service.streams.sink import Progress

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable

    from uvicorn.protocols.http.httptools_impl import RequestResponseCycle

    from sse_service.http.uvicorn.protocol import HTTPProtocol

EXTENSION = "sse_service.transport"
"""Key in the ASGI scope's ``extensions`` under which a request finds its connection and its response."""

_TCP_INFO = struct.Struct("=24xI92xQ16xI")  # linux/tcp.h: tcpi_unacked 24, tcpi_bytes_acked 120, tcpi_notsent_bytes 144


class StreamTransport:
    """The connection of one response that lasts."""

    __slots__ = ("_closing", "_cycle", "_flow", "_protocol", "_waiter", "_write", "chunked", "closed", "on_writable")

    def __init__(self, protocol: HTTPProtocol, cycle: RequestResponseCycle) -> None:
        self._protocol = protocol
        self._cycle = cycle
        # Bound once, because a broadcast writes to thousands of transports.
        self._write: Callable[[bytes], None] = protocol.transport.write
        self._closing = protocol.transport.is_closing
        self._flow = protocol.flow
        self._waiter: asyncio.Future[None] | None = None
        self.on_writable: Callable[[], None] | None = None
        """Called when the transport takes more after ``write`` has answered False."""
        self.closed = False
        """Whether the client has left."""
        self.chunked = cycle.scope["http_version"] != "1.0"
        """Whether the response's body is in chunked coding; in HTTP/1.0 the close ends it (RFC 9112 §6.3)."""
        if not self.chunked:
            # uvicorn would chunk its answer to HTTP/1.0 too.
            cycle.chunked_encoding = False

    def write(self, data: bytes) -> bool:
        """Hand bytes to the transport, chunk-coded where ``chunked``; False: hold back. Never waits, raises nothing."""
        # uvloop's transport raises once the connection is lost, which the response hears of a moment later.
        if self._closing():
            return False
        self._write(data)
        return not self._flow.write_paused

    async def wait(self) -> None:
        """Wait for the next ``wake``, or until the client leaves."""
        if not self.closed:
            self._waiter = self._protocol.loop.create_future()
            await self._waiter

    def wake(self) -> None:
        """Wake whoever waits."""
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    def lost(self) -> None:
        """Note that the client has left."""
        self.closed = True
        self.wake()

    def release_request(self) -> None:
        """Free what only reading a request needs. A stream lasts for hours."""
        self._protocol.release_request(self._cycle)

    def abort(self) -> None:
        """Close at once, and throw away what was not sent: ``close()`` would wait for a peer that never reads."""
        self._protocol.cut()

    def progress(self) -> Progress:
        """Ask the kernel how much the peer has acknowledged (TCP_INFO)."""
        transport = self._protocol.transport
        if transport.is_closing():
            return Progress(0, pending=transport.get_write_buffer_size() > 0)
        sock = transport.get_extra_info("socket")
        raw = sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _TCP_INFO.size)
        unacked, acknowledged, unsent = _TCP_INFO.unpack(raw)
        return Progress(acknowledged, pending=bool(unacked or unsent or transport.get_write_buffer_size()))


def take_transport(scope: Any) -> StreamTransport:
    """Take over the connection by which a request came, for a response that lasts."""
    protocol, cycle = (ref() for ref in scope["extensions"][EXTENSION])
    transport: StreamTransport = protocol.take_over(cycle)
    return transport
