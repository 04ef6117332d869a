"""What a connection lends to a stream, as its Sink."""

from __future__ import annotations

import socket
import struct
from typing import TYPE_CHECKING, Any, Protocol

from sse_service.protocols.sse import frames
from sse_service.streams.sink import Progress

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable

    from starlette.types import Send
    from uvicorn.protocols.http.flow_control import FlowControl
    from uvicorn.protocols.http.httptools_impl import RequestResponseCycle

    from sse_service.http.uvicorn.head import Head

EXTENSION = "sse_service.http.uvicorn.connection"
"""Key in the ASGI scope's ``extensions`` under which a request finds its connection, and itself."""

_TCP_INFO = struct.Struct("=24xI92xQ16xI")  # linux/tcp.h: tcpi_unacked 24, tcpi_bytes_acked 120, tcpi_notsent_bytes 144


class Lender(Protocol):
    """The connection."""

    transport: asyncio.Transport
    flow: FlowControl
    loop: asyncio.AbstractEventLoop

    def forget_request(self, cycle: RequestResponseCycle, /) -> None:
        """Let go of what only reading a request and answering its head needs."""
        ...

    def cut(self) -> None:
        """Close at once, and throw away what was not sent."""
        ...


class Loan:
    """The transport, written to without a task or a wait."""

    __slots__ = ("_closing", "_cycle", "_flow", "_greeting", "_lender", "_plain", "_write", "on_writable", "over")

    def __init__(self, lender: Lender, cycle: RequestResponseCycle) -> None:
        self._lender = lender
        self._cycle = cycle
        self._plain = cycle.scope["http_version"] == "1.0"
        # Looked up once, not at each of a crowd's writes
        self._write: Callable[[bytes], None] = lender.transport.write
        self._closing = lender.transport.is_closing
        self._flow = lender.flow
        self._greeting = b""
        self.on_writable: Callable[[], None] | None = None
        self.over: asyncio.Future[None] = lender.loop.create_future()
        """Done when the client has left, or ``wake`` was called."""
        if self._plain:
            # uvicorn would chunk its answer to HTTP/1.0 too; there the close is the end (RFC 9112 §6.3)
            cycle.chunked_encoding = False

    def write(self, chunk: bytes) -> bool:
        """Hand a chunk-coded block to the transport; False: hold back until ``on_writable``. Never waits."""
        # uvloop's raises once the connection is lost, which the response hears of a moment later
        if self._closing():
            return False
        self._write(frames.unchunk(chunk) if self._plain else chunk)
        return not self._flow.write_paused

    async def begin(self, send: Send, head: Head, block: bytes) -> None:
        """Keep the head and a first block: they leave with the next block, or with ``flush``, which must come soon.

        A segment costs both ends more than all else in an opening.
        """
        begun = await head.begin(self._cycle, send)
        self._greeting = begun + (frames.unchunk(block) if self._plain else block)
        self._write = self._write_first

    def _write_first(self, chunk: bytes) -> None:
        self._write = self._lender.transport.write
        greeting, self._greeting = self._greeting, b""
        if not self._closing():
            self._write(greeting + chunk)

    def flush(self) -> None:
        """Write what was kept, if nothing has been written since."""
        if self._greeting:
            self._write_first(b"")

    def wake(self) -> None:
        """Let the response end."""
        if not self.over.done():
            self.over.set_result(None)

    def forget_request(self) -> None:
        """Let go of what only reading a request and answering its head needs: a stream stays for hours."""
        self._lender.forget_request(self._cycle)

    def abort(self) -> None:
        """Close at once and throw away what was not sent: ``close()`` would wait for a peer that never reads."""
        self._lender.cut()

    def progress(self) -> Progress:
        """Ask the kernel (TCP_INFO)."""
        transport = self._lender.transport
        if transport.is_closing():
            return Progress(0, pending=transport.get_write_buffer_size() > 0)
        sock = transport.get_extra_info("socket")
        raw = sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _TCP_INFO.size)
        unacked, acknowledged, unsent = _TCP_INFO.unpack(raw)
        return Progress(acknowledged, pending=bool(unacked or unsent or transport.get_write_buffer_size()))


def lend(scope: Any) -> Loan:
    """The Loan of the connection that a request came by."""
    connection, cycle = (ref() for ref in scope["extensions"][EXTENSION])
    loan: Loan = connection.lend(cycle)
    return loan
