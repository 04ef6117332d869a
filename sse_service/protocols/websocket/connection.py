"""One WebSocket connection: what the client sends, and the closing handshake (RFC 6455 §5 to §7)."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from websockets.frames import CloseCode, Frame, Opcode
from websockets.protocol import OPEN, SEND_EOF, SERVER, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable

    from sse_service.http.uvicorn.transport import Held, StreamTransport

MAX_MESSAGE_BYTES = 1024
"""Limit of a client's message. Nothing that a client says is needed once it is known."""

MAX_FIRST_MESSAGE_BYTES = 16 * 1024
"""Limit of a message with a token: as much as a request's head may have."""

CLOSE_SECONDS = 5.0
"""How long a client may take to answer the closing handshake."""

SLICE_BYTES = 1024
"""How much of what a client sends is parsed at once. Its 170 smallest pings take less than 1 ms."""

QUIET_BYTES = 256
"""A client that sends more than this at once is not read for PAUSE_SECONDS. A pong has at most 131 bytes."""

PAUSE_SECONDS = 0.02
"""With SLICE_BYTES, the most that is read of one client is 50 KiB per second."""


class Connection:
    """Parses what the client sends, answers its pings, and closes the connection.

    It does not write the service's messages: the sink does, and its bytes do not pass through here.
    """

    __slots__ = (
        *("_end_of_patience", "_first_text", "_held", "_parser", "_pause", "_text", "_transport", "_unread", "_waits"),
        *("closing", "on_closing", "on_writable"),
    )

    def __init__(self, transport: StreamTransport, head: bytes, *, max_bytes: int = MAX_MESSAGE_BYTES) -> None:
        """``head`` is the 101 response, which is sent here."""
        self._transport = transport
        self._parser = Protocol(SERVER, state=OPEN, max_size=max_bytes)
        # Whether ``first_text`` waits, and what it has got.
        self._waits = False
        self._first_text: str | None = None
        # The text message that is being received.
        self._text: bytearray | None = None
        # What was received and is not parsed yet.
        self._unread = b""
        self._pause: asyncio.TimerHandle | None = None
        self._held: Held | None = None
        # Closes the connection if the client does not answer the closing handshake.
        self._end_of_patience: asyncio.TimerHandle | None = None
        self.on_closing: Callable[[], None] | None = None
        """Called when the closing handshake begins."""
        self.on_writable: Callable[[], None] | None = None
        """Called when the transport accepts more after a write has returned False."""
        self.closing = False
        """Whether the closing handshake has begun."""
        transport.on_writable = self._writable
        transport.switch_protocol(head, self._receive)

    @property
    def over(self) -> bool:
        """Whether nothing more can be written."""
        return self.closing or self._transport.closed

    async def first_text(self) -> str | None:
        """Wait for a text message, and return it; None after ``stop_waiting``, and if the client leaves.

        A binary message counts as an empty text: it cannot have what is waited for.
        """
        self._waits = True
        while self._waits and not self.over:
            await self._transport.wait()
        self._waits = False
        self._parser.max_message_size = MAX_MESSAGE_BYTES
        text, self._first_text = self._first_text, None
        return text

    def stop_waiting(self) -> None:
        """Let ``first_text`` return."""
        self._waits = False
        self._transport.wake()

    def close(self, code: int, reason: str = "") -> None:
        """Begin the closing handshake. Idempotent."""
        if not self.over:
            # A control frame has room for 125 bytes (RFC 6455 §5.5).
            self._parser.send_close(code, reason.encode()[:123].decode(errors="ignore"))
            self._flush()

    def hold(self, held: Held) -> None:
        """Keep a stream until the connection is closed, and end it then. The request that began it can return."""
        self._held = held
        self._transport.hold(self)

    async def closed(self) -> None:
        """Wait until the connection is closed."""
        while not self._transport.closed:
            await self._transport.wait()
        self.end()

    def end(self) -> None:
        """End what ``hold`` was given. The connection is closed."""
        for timer in (self._pause, self._end_of_patience):
            if timer is not None:
                timer.cancel()
        self._pause = self._end_of_patience = self.on_closing = self.on_writable = self._transport.on_writable = None
        if self._held is not None:
            self._held.end()

    def _receive(self, data: bytes) -> None:
        """Parse a slice of what the client sends, and leave the rest for later: others must be served in between."""
        if self._pause is not None or self._transport.write_paused:
            self._unread += data
            self._transport.pause_reading()
            return
        data = self._unread + data
        data, self._unread = data[:SLICE_BYTES], data[SLICE_BYTES:]
        self._parser.receive_data(data)
        for event in self._parser.events_received():
            if isinstance(event, Frame):
                self._take(event)
        self._flush()
        if len(data) > QUIET_BYTES:
            self._transport.pause_reading()
            self._pause = asyncio.get_running_loop().call_later(PAUSE_SECONDS, self._resume)
        elif self._transport.write_paused:
            # Whoever does not take the answers must not cause more of them.
            self._transport.pause_reading()

    def _resume(self) -> None:
        self._pause = None
        if not (self._transport.closed or self._transport.write_paused):
            self._transport.resume_reading()
            self._receive(b"")

    def _writable(self) -> None:
        if self._pause is None:
            self._transport.resume_reading()
            if self._unread:
                self._receive(b"")
        if self.on_writable is not None:
            self.on_writable()

    def _take(self, frame: Frame) -> None:
        """Put a text message together. The parser has checked the order and the sizes of the fragments."""
        if frame.opcode is Opcode.BINARY and self._waits:
            self._first_text = ""
            self.stop_waiting()
        elif frame.opcode is Opcode.TEXT:
            self._text = bytearray(frame.data)
        elif frame.opcode is Opcode.CONT and self._text is not None:
            self._text += frame.data
        if self._text is None or not frame.fin or frame.opcode not in (Opcode.TEXT, Opcode.CONT):
            return
        payload, self._text = self._text, None
        try:
            text = payload.decode()
        except UnicodeDecodeError:
            # The parser leaves this check to its user (RFC 6455 §8.1).
            self._parser.fail(CloseCode.INVALID_DATA, "a text message must be UTF-8")
            return
        if self._waits:
            self._first_text = text
            self.stop_waiting()

    def _flush(self) -> None:
        """Write the parser's answers."""
        answers = self._parser.data_to_send()
        ends = SEND_EOF in answers
        if answers:
            self._transport.write(b"".join(answers))
        if self._parser.state is not OPEN and not self.closing:
            self.closing = True
            # No message may follow a close frame (RFC 6455 §5.5.1).
            self._transport.finish()
            self._end_of_patience = asyncio.get_running_loop().call_later(CLOSE_SECONDS, self._transport.close)
            self._transport.wake()
            if self.on_closing is not None:
                self.on_closing()
        if ends:
            self._transport.end_writing()
