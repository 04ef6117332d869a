"""A WebSocket client that sends whatever bytes a test wants, and an independent reader of a server's frames."""

from __future__ import annotations

import base64
import contextlib
import json
import select
import socket
import struct
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import httpx

from tests.integration.process import DEADLINE

KEY = base64.b64encode(b"0123456789abcdef").decode()
CONT, TEXT, BINARY, CLOSE, PING, PONG = 0, 1, 2, 8, 9, 10


@dataclass(frozen=True)
class Received:
    """One frame of the server."""

    opcode: int
    payload: bytes

    @property
    def code(self) -> int:
        """The close code."""
        assert self.opcode == CLOSE
        return int.from_bytes(self.payload[:2])

    @property
    def message(self) -> dict[str, Any]:
        assert self.opcode == TEXT
        found: dict[str, Any] = json.loads(self.payload)
        return found


def frame(opcode: int, payload: bytes = b"", *, fin: bool = True, rsv: int = 0, masked: bool = True) -> bytes:
    """Make a client's frame. Nothing checks that it makes sense."""
    mask = b"\x01\x02\x03\x04"
    first = fin << 7 | rsv << 4 | opcode
    size = len(payload)
    if size < 126:
        length = bytes([size])
    elif size < 1 << 16:
        length = b"\x7e" + struct.pack("!H", size)
    else:
        length = b"\x7f" + struct.pack("!Q", size)
    head = bytes([first, length[0] | masked << 7]) + length[1:]
    if not masked:
        return head + payload
    return head + mask + bytes(byte ^ mask[i % 4] for i, byte in enumerate(payload))


def handshake(path: str = "/ws", headers: Mapping[str, str | None] | None = None, *, method: str = "GET") -> bytes:
    """Make the request of an opening handshake. A header whose value is None is left out."""
    wanted = {
        "Host": "x",
        "Connection": "Upgrade",
        "Upgrade": "websocket",
        "Sec-WebSocket-Key": KEY,
        "Sec-WebSocket-Version": "13",
        **(headers or {}),
    }
    lines = [f"{name}: {value}\r\n" for name, value in wanted.items() if value is not None]
    return f"{method} {path} HTTP/1.1\r\n{''.join(lines)}\r\n".encode()


class Wire:
    """A connection to the service."""

    def __init__(self, sock: socket.socket) -> None:
        self.socket = sock
        self._buffer = b""

    def send(self, data: bytes) -> None:
        self.socket.sendall(data)

    def head(self) -> str:
        """Read the head of the answer to a handshake."""
        while b"\r\n\r\n" not in self._buffer:
            self._fill()
        head, _, self._buffer = self._buffer.partition(b"\r\n\r\n")
        return head.decode()

    def frame(self) -> Received:
        """Read a frame. It must be a whole message, unmasked, without reserved bits."""
        first, second = self._take(2)
        assert first & 0xF0 == 0x80
        assert second < 128
        size = second
        if second == 126:
            size = int.from_bytes(self._take(2))
            assert size > 125
        elif second == 127:
            size = int.from_bytes(self._take(8))
            assert size > 0xFFFF
        return Received(first & 0x0F, self._take(size))

    def until(self, opcode: int) -> Received:
        """Read frames up to the first of this kind."""
        while (found := self.frame()).opcode != opcode:
            pass
        return found

    def until_event(self, type_: str) -> dict[str, Any]:
        """Read frames up to an event of this type, which must come before a close."""
        while True:
            found = self.frame()
            assert found.opcode != CLOSE, found
            if found.opcode == TEXT and found.message.get("event") == type_:
                return found.message

    def cut_within(self, seconds: float) -> bool:
        """Return whether the server cuts the connection within ``seconds``. It asks the kernel and reads nothing."""
        poll = select.poll()
        poll.register(self.socket, 0)  # errors and hang-ups are always reported
        return bool(poll.poll(seconds * 1000))

    def at_end(self) -> bool:
        """Whether the server closes the connection without another byte."""
        return not self._buffer and self.socket.recv(1) == b""

    def _take(self, size: int) -> bytes:
        while len(self._buffer) < size:
            self._fill()
        taken, self._buffer = self._buffer[:size], self._buffer[size:]
        return taken

    def _fill(self) -> None:
        data = self.socket.recv(65536)
        assert data, f"the connection ended after {self._buffer!r}"
        self._buffer += data


@contextlib.contextmanager
def wire(url: str, *, buffer: int | None = None) -> Iterator[Wire]:
    """Connect to a service. ``buffer`` is the size of the receive buffer."""
    at = httpx.URL(url)
    with socket.socket() as sock:
        if buffer is not None:
            # Set it before connecting, because the window is negotiated then.
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, buffer)
        sock.settimeout(DEADLINE)
        sock.connect((at.host, at.port or 80))
        yield Wire(sock)


@contextlib.contextmanager
def opened(
    url: str, headers: Mapping[str, str | None] | None = None, *, path: str = "/ws", buffer: int | None = None
) -> Iterator[Wire]:
    """Connect, and do the opening handshake."""
    with wire(url, buffer=buffer) as connection:
        connection.send(handshake(path, headers))
        head = connection.head()
        assert head.startswith("HTTP/1.1 101 "), head
        yield connection
