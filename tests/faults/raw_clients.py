"""Thousands of clients in one process. Each is a protocol object of a few hundred bytes, without a task."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
import time
from collections.abc import Iterable, Iterator

NO_LINGER = struct.pack("ii", 1, 0)

CONNECTS = 500
"""Connections that are opened at the same time."""


class Peer(asyncio.Protocol):
    """Sends its payload when it is connected. Records the answer, and how the connection ended."""

    __slots__ = ("_ended", "_head", "end", "payload", "status", "transport")

    def __init__(self, payload: bytes = b"") -> None:
        self.payload = payload
        self.status = 0
        """The status of the first answer; 0 if there is none."""
        self.end = ""
        """How the connection ended: ``closed``, ``reset``, ``refused``, or ``left`` if this side ended it."""
        self.transport: asyncio.Transport | None = None
        self._head = b""
        self._ended: asyncio.Future[None] | None = None

    @property
    def answer(self) -> str:
        """The status of the answer, or else how the connection ended."""
        return str(self.status) if self.status else self.end or "nothing"

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # asyncio passes a Transport
        self.transport = transport
        if self.payload:
            transport.write(self.payload)

    def data_received(self, data: bytes) -> None:
        if self.status:
            self.body(data)
            return
        self._head += data
        head, found, rest = self._head.partition(b"\r\n\r\n")
        if found:
            self._head = b""
            self.status = int(head[9:12])
            self.body(rest)

    def body(self, data: bytes) -> None:
        """Handle bytes after the head of the first answer."""

    def connection_lost(self, exc: Exception | None) -> None:
        self.end = self.end or ("reset" if exc is not None else "closed")
        if self._ended is not None and not self._ended.done():
            self._ended.set_result(None)

    async def ended(self, seconds: float) -> bool:
        """Return whether the service ends the connection within ``seconds``."""
        if not self.end:
            if self._ended is None:
                self._ended = asyncio.get_running_loop().create_future()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(asyncio.shield(self._ended), seconds)
        return bool(self.end)

    def send(self, data: bytes) -> bool:
        """Send more, unless too much is waiting. Return False if the connection has ended."""
        if self.transport is None or self.end:
            return False
        if self.transport.get_write_buffer_size() < 2**20:
            self.transport.write(data)
        return True

    def leave(self, *, reset: bool = False) -> None:
        """Close the connection, or reset it."""
        if self.transport is None or self.end:
            return
        self.end = "left"
        if reset:
            self.transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, NO_LINGER)
        self.transport.abort()


class Stream(Peer):
    """Reads an event stream. It ignores the sizes of HTTP/1.1 chunks, which look like unknown fields."""

    __slots__ = ("_rest", "closed", "heard", "last_id", "ready", "retry")

    def __init__(self, payload: bytes) -> None:
        super().__init__(payload)
        self._rest = b""
        self.heard = 0.0
        """When the last bytes came, in monotonic seconds."""
        self.ready = False
        self.last_id = ""
        self.retry = 3.0
        """The reconnect delay that the service sent, in seconds."""
        self.closed = ""
        """The data of ``stream.close``."""

    def body(self, data: bytes) -> None:
        self.heard = time.monotonic()
        self._rest += data
        if b"\n\n" in self._rest:
            *blocks, self._rest = self._rest.split(b"\n\n")
            for block in blocks:
                self._dispatch(block)

    def _dispatch(self, block: bytes) -> None:
        kind, data, cursor = "message", "", ""
        for line in block.decode().split("\n"):
            name, _, value = line.partition(": ")
            if name == "event":
                kind = value
            elif name == "data":
                data = value
            elif name == "id":
                cursor = value
            elif name == "retry":
                self.retry = int(value) / 1000
        self.last_id = cursor or self.last_id
        if kind == "stream.ready":
            self.ready = True
        elif kind == "stream.close":
            self.closed = data
        self.event(kind, data)

    def event(self, kind: str, data: str) -> None:
        """Handle one event. The data in these tests has one line."""


def request(token: str = "", *, last_id: str = "", path: str = "/events", more: bytes = b"") -> bytes:
    """Return the request for a stream. ``more`` is sent directly after it."""
    lines = [f"GET {path} HTTP/1.1", "Host: push", "Accept: text/event-stream"]
    if token:
        lines.append(f"Authorization: Bearer {token}")
    if last_id:
        lines.append(f"Last-Event-ID: {last_id}")
    return "\r\n".join([*lines, "", ""]).encode() + more


async def connect(port: int, peer: Peer, host: str = "127.0.0.1") -> None:
    """Connect one peer. If the connection is refused, the peer has ended."""
    try:
        await asyncio.get_running_loop().create_connection(lambda: peer, host, port)
    except OSError:
        peer.end = "refused"


async def connect_all(port: int, peers: Iterable[Peer], host: str = "127.0.0.1") -> None:
    """Connect peers as fast as possible."""
    waiting: Iterator[Peer] = iter(peers)

    async def work() -> None:
        for peer in waiting:
            await connect(port, peer, host)

    await asyncio.gather(*(work() for _ in range(CONNECTS)))
