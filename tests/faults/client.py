"""A simple EventSource that is cut off at random, and reconnects with its last id."""

from __future__ import annotations

import asyncio
import contextlib
import random
import time
from collections.abc import Sequence
from dataclasses import dataclass, field

READ = 4096


@dataclass(frozen=True, slots=True)
class Block:
    """One block of the stream."""

    at: float
    """Monotonic seconds."""
    connection: int
    """Number of the client's connection, from 1."""
    type: str
    data: str
    id: str
    """The id in the block itself; empty if it has none."""
    retry: int | None = None
    """The reconnect delay in milliseconds, if the block has one."""


@dataclass(slots=True)
class Client:
    """One page of one user. ``seen`` has the blocks that it received."""

    name: str
    user: str
    channels: frozenset[str]
    port: int
    token: str
    random: random.Random = field(default_factory=random.Random)
    cut_every: int = 20_000
    """Bytes after which it disconnects, on average."""
    since: str | None = None
    seen: list[Block] = field(default_factory=list)
    connections: int = 0
    greeted: int = 0
    """Connections that got ``stream.ready``."""
    refused: int = 0
    """Answers that were not a stream."""
    last_id: str = ""
    calm: bool = False
    """Whether it stays connected from now on."""

    async def run(self) -> None:
        """Connect again and again, until cancelled."""
        while True:
            with contextlib.suppress(OSError, asyncio.IncompleteReadError, ValueError):
                await self._connect()
            await asyncio.sleep(self.random.uniform(0.02, 0.4))

    async def _connect(self) -> None:
        self.connections += 1
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port, limit=2**20)
        try:
            writer.write(self.request())
            head = await reader.readuntil(b"\r\n\r\n")
            if not head.startswith(b"HTTP/1.1 200"):
                self.refused += 1
                return
            await self._read(reader)
        finally:
            # Abort, like a broken network.
            writer.transport.abort()

    def request(self) -> bytes:
        query = f"?since={self.since}" if self.since and not self.last_id else ""
        lines = [
            f"GET /events{query} HTTP/1.1",
            "Host: push",
            "Accept: text/event-stream",
            f"Authorization: Bearer {self.token}",
            *([f"Last-Event-ID: {self.last_id}"] if self.last_id else []),
        ]
        return "\r\n".join([*lines, "", ""]).encode()

    async def _read(self, reader: asyncio.StreamReader) -> None:
        leave_after = self.random.expovariate(1 / self.cut_every)
        text = b""
        while True:
            size = int(await reader.readline(), 16)
            if not size:
                return
            chunk = await reader.readexactly(size + 2)
            leave_after -= size
            if leave_after < 0 and not self.calm:
                # Cut anywhere within the chunk: an incomplete block is not dispatched.
                text += chunk[: self.random.randrange(size)]
                self.dispatch(text)
                return
            text = self.dispatch(text + chunk[:-2])

    def dispatch(self, text: bytes) -> bytes:
        """Dispatch the complete blocks and return the rest."""
        *blocks, rest = text.split(b"\n\n")
        for block in blocks:
            fields = {"event": "message", "id": "", "retry": ""}
            data: list[str] = []
            for line in block.decode().split("\n"):
                name, _, value = line.partition(": ")
                if name == "data":
                    data.append(value)
                elif name in fields:
                    fields[name] = value
            if not data:
                continue
            retry = int(fields["retry"]) if fields["retry"] else None
            joined = "\n".join(data)
            self._take(Block(time.monotonic(), self.connections, fields["event"], joined, fields["id"], retry))
        return rest

    def _take(self, block: Block) -> None:
        if block.id:
            self.last_id = block.id
        if block.type == "stream.ready":
            self.greeted += 1
        self.seen.append(block)


def events(seen: Sequence[Block]) -> list[Block]:
    """The blocks that are not service events."""
    return [block for block in seen if not block.type.startswith("stream.")]
