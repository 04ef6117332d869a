"""A client that changes between the ways to listen at random, in the middle of everything."""

from __future__ import annotations

import asyncio
import json
import time
from collections import Counter
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlencode

from tests.faults.client import Block, Client

WAYS = ("sse", "websocket", "long polling", "polling")
_TEXT, _CLOSE = 0x81, 0x88  # final frames of RFC 6455 §5.2


@dataclass(slots=True)
class MixedClient(Client):
    """Chooses a way for each connection. It goes on from the last id, whichever way brought it."""

    ways: Counter[str] = field(default_factory=Counter)
    """How often each way was used."""
    changes: int = 0
    """How often the way differed from the one before."""
    way: str = ""

    async def _connect(self) -> None:
        way = self.random.choice(WAYS)
        self.changes += self.way not in ("", way)
        self.way = way
        self.ways[way] += 1
        if way == "sse":
            # Not super(): a dataclass with slots is a class of its own.
            await Client._connect(self)
            return
        self.connections += 1
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port, limit=2**20)
        try:
            if way == "websocket":
                await self._socket(reader, writer)
            else:
                await self._poll(reader, writer, wait=5 if way == "long polling" else 0)
        finally:
            writer.transport.abort()

    def _head(self, path: str, query: dict[str, str], *more: str) -> bytes:
        if self.last_id:
            query = {**query, "lastEventId": self.last_id}
        lines = [f"GET {path}?{urlencode(query)} HTTP/1.1", "Host: push", f"Authorization: Bearer {self.token}", *more]
        return "\r\n".join([*lines, "", ""]).encode()

    async def _socket(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        handshake = ("Upgrade: websocket", "Connection: Upgrade", "Sec-WebSocket-Version: 13")
        writer.write(self._head("/ws", {}, *handshake, "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ=="))
        if not (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 101"):
            self.refused += 1
            return
        leave_after = self.random.expovariate(1 / self.cut_every)
        while True:
            first, size = await reader.readexactly(2)
            if size == 126:
                size = int.from_bytes(await reader.readexactly(2))
            elif size == 127:
                size = int.from_bytes(await reader.readexactly(8))
            leave_after -= size
            if first == _CLOSE or (leave_after < 0 and not self.calm):
                # A message that was cut is not dispatched.
                return
            payload = await reader.readexactly(size)
            if first == _TEXT:
                message = json.loads(payload)
                self._tell(message.get("event", "message"), message["data"], message.get("id", ""))

    async def _poll(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, wait: int) -> None:
        """Poll on one connection until it is cut."""
        polls_left = self.random.randrange(1, 20)
        greeted = False
        while polls_left or self.calm:
            polls_left -= 1
            writer.write(self._head("/events/poll", {"wait": str(wait)}))
            head = await reader.readuntil(b"\r\n\r\n")
            length = next(line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:"))
            body = await reader.readexactly(int(length.partition(b":")[2]))
            if not head.startswith(b"HTTP/1.1 200"):
                self.refused += 1
                return
            if self.random.random() < 0.1 and not self.calm:
                # The answer is lost on the way.
                return
            self._page(json.loads(body), greeted=greeted)
            greeted = True
            if b"connection: close" in head.lower():
                return
            await asyncio.sleep(0 if wait else 0.2)

    def _page(self, page: dict[str, Any], *, greeted: bool) -> None:
        """Take an answer as the stream that it stands for."""
        if not greeted:
            self._tell("stream.ready", json.dumps({"resumed": page["resumed"], "user": page["user"]}))
        events = page["events"]
        if page["gap"]:
            self._tell("stream.gap", json.dumps({"reason": page["gap"]}), _before(events, page["cursor"]))
        for event in events:
            self._tell(event["type"] or "message", event["data"], event["id"])
        self._tell("stream.cursor", "{}", page["cursor"])

    def _tell(self, kind: str, data: str, at: str = "") -> None:
        self._take(Block(time.monotonic(), self.connections, kind, data, at))


def _before(events: list[dict[str, Any]], cursor: str) -> str:
    """Return the position from which an answer is complete: a poll does not tell it."""
    if not events:
        return cursor
    epoch, offset, _ = events[0]["id"].split(".")
    return f"{epoch}.{int(offset) - 1}.0"
