"""One WebSocket: its handshake, what the client sends, and its end. The package ``websockets`` knows the protocol."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING

from websockets.datastructures import Headers
from websockets.frames import Frame, Opcode
from websockets.http11 import Request
from websockets.protocol import State
from websockets.server import ServerProtocol

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from starlette.types import Scope
    from websockets.http11 import Response
    from websockets.typing import Subprotocol

    from sse_service.http.uvicorn.transport import StreamTransport

SUBPROTOCOL = "sse-service.v1"

MAX_TOKEN_BYTES = 16 * 1024
"""Limit of the first message, if it brings the token. As much as a request's headers may have."""

MAX_MESSAGE_BYTES = 1024
"""Limit of every other message. They are ignored: clients publish nothing here."""

CLOSE_SECONDS = 3.0
"""How long the client may take to answer a Close frame."""

# The package logs each frame at DEBUG, with its content.
_log = logging.getLogger("sse_service.websocket")
_log.setLevel(logging.INFO)


class WebSocketConnection:
    """Reads what the client sends, and answers pings and Close frames. It never waits."""

    __slots__ = ("_bytes", "_fragments", "_is_text", "_message", "_protocol", "_transport", "on_writable")

    def __init__(self, transport: StreamTransport, answer: Response) -> None:
        """Send the answer of ``answer_handshake``. Its status must be 101: then the connection is a WebSocket."""
        self._transport = transport
        self._protocol = ServerProtocol(state=State.OPEN, max_size=MAX_TOKEN_BYTES, logger=_log)
        # A message that is not complete.
        self._fragments = b""
        self._is_text = False
        # The first message, until it is taken.
        self._message: str | None = None
        self.on_writable: Callable[[], None] | None = None
        """Called when the transport accepts more."""
        transport.on_writable = self._writable
        transport.switch_protocol(answer.serialize(), self._receive)

    @property
    def open(self) -> bool:
        """Whether neither side has begun to close."""
        return self._protocol.state is State.OPEN

    async def first_message(self, seconds: float) -> str | None:
        """Wait for the first message. Returns None if none has come in time, or if the connection has ended."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + seconds
        timer = loop.call_at(deadline, self._transport.wake)
        while self._message is None and self.open and not self._transport.closed and loop.time() < deadline:
            await self._transport.wait()
        timer.cancel()
        return self._message

    def ignore_messages(self) -> None:
        """Drop the first message, and discard all that follow."""
        self._message = ""
        self._protocol.max_message_size = MAX_MESSAGE_BYTES

    async def close(self, code: int) -> None:
        """Send a Close frame, wait a moment for the client's, and close the connection.

        If the protocol has failed already, its Close frame was sent, and the client may still be sending. Closing at
        once would reset the connection, and the client could lose that frame.
        """
        transport = self._transport
        if self.open:
            self._protocol.send_close(code)
            self._write()
        elif self._protocol.close_rcvd is None:
            transport.end_writing()
        timer = asyncio.get_running_loop().call_later(CLOSE_SECONDS, transport.close)
        while self._protocol.close_rcvd is None and not transport.closed:
            await transport.wait()
        timer.cancel()
        transport.close()

    def _receive(self, data: bytes) -> None:
        self._protocol.receive_data(data)
        for frame in self._protocol.events_received():
            assert isinstance(frame, Frame)  # noqa: S101  the handshake is over
            self._take(frame)
        self._write()
        if not self.open:
            self._transport.wake()

    def _take(self, frame: Frame) -> None:
        if frame.opcode not in (Opcode.TEXT, Opcode.BINARY, Opcode.CONT):
            return
        if frame.opcode is not Opcode.CONT:
            self._is_text = frame.opcode is Opcode.TEXT
        self._fragments += frame.data
        if not frame.fin:
            return
        message, self._fragments = bytes(self._fragments), b""
        try:
            text = message.decode() if self._is_text else ""
        except UnicodeDecodeError:
            if self.open:
                self._protocol.fail(1007, "a text message must be UTF-8")  # RFC 6455 §8.1
            return
        if self._message is None:
            self._message = text
            self._transport.wake()

    def _write(self) -> None:
        """Send what the protocol answers. Stop reading while the client takes nothing: it could send pings forever."""
        # An empty string stands for the end of what is sent. The connection is closed when the request ends.
        if (data := b"".join(self._protocol.data_to_send())) and not self._transport.write(data):
            self._transport.pause_reading()

    def _writable(self) -> None:
        self._transport.resume_reading()
        if self.on_writable is not None:
            self.on_writable()


def answer_handshake(scope: Scope) -> Response:
    """Return the answer to a handshake: its status is 101, or the request is refused (RFC 6455 §4.2.2)."""
    # No extension is offered, so none is negotiated: compression would cost each socket its own copy of each event.
    protocol = ServerProtocol(
        subprotocols=[SUBPROTOCOL],  # type: ignore[list-item]  # a NewType of str
        select_subprotocol=_select_subprotocol,
        logger=_log,
    )
    headers = Headers((name.decode("latin-1"), value.decode("latin-1")) for name, value in scope["headers"])
    version = f"HTTP/{scope['http_version']}"
    return protocol.accept(
        Request(scope["raw_path"].decode("latin-1"), headers, method=scope["method"], protocol=version)
    )


def _select_subprotocol(_: ServerProtocol, offered: Sequence[Subprotocol]) -> Subprotocol | None:
    """Choose ours. A client that offers none is accepted too; one that offers only others is not (RFC 6455 §4.2.2)."""
    for each in offered:
        if each == SUBPROTOCOL:
            return each
    return None
