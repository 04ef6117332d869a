"""What one connection may send: uvicorn's protocol, with limits on requests and on the time that they take."""

from __future__ import annotations

import functools
import socket
import struct
from collections import deque
from typing import TYPE_CHECKING, Any, cast

import httptools
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.protocols.utils import is_ssl

from sse_service.http.uvicorn import request_limits as limits
from sse_service.http.uvicorn.flow_control import LeanFlowControl

if TYPE_CHECKING:
    import asyncio

    from uvicorn.protocols.http.httptools_impl import RequestResponseCycle

    from sse_service.http.uvicorn.connection_limit import ConnectionLimit

NO_PIPELINE: deque[Any] = cast("deque[Any]", ())
"""An empty pipeline. A deque takes 650 bytes, and most connections need none."""

_NO_LINGER = struct.pack("ii", 1, 0)  # struct linger: on, for 0 s


class RequestReader(HttpToolsProtocol):
    """uvicorn's protocol class, protected against slow, oversized and malformed requests.

    It answers 431 to a head of more than 16 KiB, and 408 to a head that arrives too slowly.
    """

    # Slots, because a dict with more than 30 keys (CPython's SHARED_KEYS_MAX_SIZE) shares none: 1.5 kB per connection.
    __slots__ = (
        *("_after_upgrade", "_body_open", "_deadline", "_head_bytes", "_hosts"),
        *("_limit", "_linger", "_refused", "_running", "_unparsed_bytes"),
    )

    def __init__(self, *args: Any, limit: ConnectionLimit, **kwargs: Any) -> None:
        """The positional arguments are uvicorn's."""
        super().__init__(*args, **kwargs)
        self._limit = limit
        # The request that is being answered.
        self._running: RequestResponseCycle | None = None
        # Cuts the connection if its last bytes are not sent in time.
        self._linger: asyncio.TimerHandle | None = None
        # Ends the wait for a head, or for the rest of a body.
        self._deadline: asyncio.TimerHandle | None = None
        # Whether a request was refused. Everything after it is discarded.
        self._refused = False
        # Whether the body of the current request is incomplete.
        self._body_open = False
        # Bytes of the request line and headers so far, and bytes since the last callback of the parser.
        self._head_bytes = 0
        self._unparsed_bytes = 0
        # Host headers of the current request.
        self._hosts = 0
        # What came after a request to change the protocol that is not answered yet; None if there is no such request.
        self._after_upgrade: bytes | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn's
        """Wait for the first request.

        This replaces uvicorn's method, which makes a socket object to ask for addresses that the transport knows: a
        tenth of the CPU that opening a stream takes.
        """
        self.connections.add(self)
        self.transport, self.flow, self.pipeline = transport, LeanFlowControl(transport), NO_PIPELINE
        self.server = _own_address(transport.get_extra_info("sockname"))
        self.client = _address(transport.get_extra_info("peername"))
        self.scheme = "https" if is_ssl(transport) else "http"
        if self._limit.admits(len(self.connections)):
            self._wait_for_head()
        else:
            self.cut()

    def data_received(self, data: bytes) -> None:
        """Feed the parser. An endless line is counted here, because the parser reports nothing before the line ends."""
        if self._refused:
            self._unparsed_bytes += len(data)
            if self._unparsed_bytes > limits.REFUSED_BYTES:
                self.cut()
            return
        if self._after_upgrade is not None:
            self._keep_after_upgrade(data)
            return
        self._unparsed_bytes += len(data)
        self._unset_keepalive_if_required()
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserUpgrade as upgrade:
            self._after_upgrade = b""
            self._keep_after_upgrade(data[upgrade.args[0] :])
        except httptools.HttpParserError:
            self.send_400_response("")
        self._ensure_deadline()
        if self._unparsed_bytes > limits.MAX_HEAD_BYTES and not self._refused and not self.transport.is_closing():
            self._refuse(limits.HEAD_TOO_LONG)

    def make_parser(self) -> None:
        """Read another request after the parser was freed."""
        self.parser = httptools.HttpRequestParser(self)
        # As uvicorn does: what follows a request that ends the connection is not an error.
        self.parser.set_dangerous_leniencies(lenient_data_after_close=True)

    def on_message_begin(self) -> None:
        """Reset the counters for a new request."""
        super().on_message_begin()
        self._head_bytes = self._unparsed_bytes = self._hosts = 0
        if self._deadline is None:
            self._wait_for_head()
        if len(self.pipeline) >= limits.MAX_PIPELINED:
            self.cut()
            raise ValueError("too many pipelined requests")

    def on_url(self, url: bytes) -> None:
        """Count the request line."""
        self._count_head_bytes(len(url))
        super().on_url(url)

    def on_header(self, name: bytes, value: bytes) -> None:
        """Count a header line, with its colon and line end."""
        self._count_head_bytes(len(name) + len(value) + 4)
        if self._body_open:
            # Trailers must not be merged into the headers (RFC 9110 §6.5.1).
            return
        self._hosts += name.lower() == b"host"
        super().on_header(name, value)

    def on_headers_complete(self) -> None:
        """Start the response."""
        self._cancel_deadline()
        if self._hosts > 1 or (not self._hosts and self.parser.get_http_version() == "1.1"):
            raise ValueError("there must be exactly one Host header (RFC 9112 §3.2)")
        if not self.pipeline:
            # A request that waits behind another is put into it.
            waits = self.cycle is not None and not self.cycle.response_complete
            self.pipeline = deque() if waits else NO_PIPELINE
        super().on_headers_complete()
        self._body_open = True

    def on_body(self, body: bytes) -> None:
        """Take a part of the body. It does not count as an endless line."""
        self._unparsed_bytes = 0
        super().on_body(body)

    def on_message_complete(self) -> None:
        """Note that the request has ended."""
        super().on_message_complete()
        self._cancel_deadline()
        if self._body_open and self.cycle.response_complete:
            # The answer was sent before the body ended, and the body has cancelled uvicorn's keep-alive timeout.
            self._unset_keepalive_if_required()
            self.timeout_keep_alive_task = self.loop.call_later(
                self.timeout_keep_alive, self.timeout_keep_alive_handler
            )
        self._body_open = False

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: Any) -> None:
        self._running = cycle
        super()._start_asgi_task(cycle, app)

    def _keep_after_upgrade(self, data: bytes) -> None:
        """Keep what a client sends before its request to change the protocol is answered: one read at most.

        Only the answer decides what it is (RFC 9110 §7.8). uvicorn would discard it.
        """
        self._after_upgrade = (self._after_upgrade or b"") + data
        self._unparsed_bytes = 0
        if data:
            self.flow.pause_reading()

    # A request is refused, or the connection is cut

    def cut(self) -> None:
        """Reset the connection. After a normal close, the kernel would keep unsent bytes for minutes."""
        if (sock := self.transport.get_extra_info("socket")) is not None and sock.fileno() >= 0:
            # With SO_LINGER on and a time of 0, a close sends a reset (socket(7)).
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _NO_LINGER)
        self.transport.abort()

    def send_400_response(self, msg: str) -> None:
        """Answer a request that the parser has refused: 431 (RFC 6585 §5) if the head was too long, else 400."""
        if not self.transport.is_closing():
            self._refuse(limits.HEAD_TOO_LONG if self._head_bytes > limits.MAX_HEAD_BYTES else limits.MALFORMED)

    def _refuse(self, answer: bytes) -> None:
        """Send the answer, then discard what the peer still sends, for a moment.

        Closing at once would reset the connection, and the peer could lose the answer (RFC 9112 §9.6).
        """
        self._refused = True
        self._cancel_deadline()
        if (running := self._running) is not None and not running.response_complete:
            # A valid request followed by garbage. The refusal answers both.
            running.disconnected = True
            running.message_event.set()
            self.pipeline = NO_PIPELINE
            if running.response_started:
                self.cut()
                return
        self.transport.write(answer)
        self.transport.write_eof()
        self._linger = self.loop.call_later(limits.REFUSED_SECONDS, self.cut)

    # Deadlines

    def _ensure_deadline(self) -> None:
        """Give an idle connection a deadline: an empty line cancels uvicorn's keep-alive and begins no request."""
        waits = self._deadline or self.timeout_keep_alive_task
        answering = self._running is not None and not self._running.response_complete
        if not (waits or answering or self._refused or self.transport.is_closing()):
            self._wait_for_head()

    def _wait_for_head(self) -> None:
        self._deadline = self.loop.call_later(
            limits.HEAD_SECONDS, self._deadline_passed, self.loop.time() + limits.HEAD_SECONDS
        )

    def _deadline_passed(self, due: float) -> None:
        if (now := self.loop.time()) > due + limits.LATE_SECONDS:
            self._deadline = self.loop.call_later(limits.LATE_SECONDS, self._deadline_passed, now + limits.LATE_SECONDS)
            return
        self._deadline = None
        if self._unparsed_bytes or self._head_bytes:
            self._refuse(limits.HEAD_TOO_SLOW)
        else:
            # Browsers open connections in advance, and would take a 408 as the answer to their next request.
            self.transport.close()
            self._wait_for_last_bytes()

    def _wait_for_last_bytes(self) -> None:
        if self._linger is None:
            self._linger = self.loop.call_later(limits.LINGER_SECONDS, self.cut)

    def _cancel_deadline(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None

    def _count_head_bytes(self, size: int) -> None:
        self._unparsed_bytes = 0
        self._head_bytes += size
        if self._head_bytes > limits.MAX_HEAD_BYTES:
            raise ValueError("head too long")


@functools.lru_cache(maxsize=8)
def _own_address(name: tuple[Any, ...] | None) -> tuple[str, int] | None:
    """Return the same tuple for all connections."""
    return _address(name)


def _address(name: tuple[Any, ...] | None) -> tuple[str, int] | None:
    """Host and port, without IPv6's flow and scope; None if the client has already left."""
    return (str(name[0]), int(name[1])) if name else None
