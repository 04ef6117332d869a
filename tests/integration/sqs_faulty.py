"""A server of SQS's protocol that does to each request what its script says, byte by byte."""

from __future__ import annotations

import asyncio
import json
import socket
import ssl
import struct
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

MESSAGE = {"MessageId": "m", "ReceiptHandle": "r", "Body": "x"}
GOOD = {
    "ReceiveMessage": {"Messages": [MESSAGE]},
    "DeleteMessageBatch": {"Successful": [{"Id": "0"}], "Failed": []},
}


@dataclass(frozen=True, slots=True)
class Request:
    """What a client sent."""

    headers: Mapping[str, str]
    body: bytes
    connection: int
    """Which one of the server's connections, from 1."""

    @property
    def operation(self) -> str:
        return self.headers["x-amz-target"].removeprefix("AmazonSQS.")


@dataclass(slots=True)
class Talk:
    """One request, and the way back."""

    request: Request
    writer: asyncio.StreamWriter

    def good(self) -> bytes:
        return json.dumps(GOOD[self.request.operation]).encode()

    def say(self, status: str, body: bytes | None = None, *headers: str, length: bool = True) -> None:
        body = self.good() if body is None else body
        sized = (f"Content-Length: {len(body)}",) if length else ()
        head = (f"HTTP/1.1 {status}", "Content-Type: application/x-amz-json-1.0", "x-amzn-RequestId: id-1")
        self.writer.write("\r\n".join((*head, *headers, *sized, "", "")).encode() + body)

    def reset(self) -> None:
        """Close by RST."""
        linger = struct.pack("ii", 1, 0)
        self.writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
        self.writer.transport.abort()

    def close(self) -> None:
        self.writer.close()


Act = Callable[[Talk], Coroutine[Any, Any, None] | None]


def good(talk: Talk) -> None:
    talk.say("200 OK")


@dataclass(slots=True)
class Faulty:
    """The server's script, and what it heard."""

    acts: Sequence[Act]
    """One for each request; the last is for all that follow."""
    requests: list[Request] = field(default_factory=list)
    connections: int = 0
    ended: int = 0
    """Connections that the client closed."""
    url: str = ""
    changed: asyncio.Condition = field(default_factory=asyncio.Condition)

    async def until(self, predicate: Callable[[], bool]) -> None:
        """Wait until something holds, at most ten seconds."""
        async with asyncio.timeout(10), self.changed:
            await self.changed.wait_for(predicate)

    async def take(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        number = self.connections
        try:
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")[1:-2]
                headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in head)}
                request = Request(headers, await reader.readexactly(int(headers["content-length"])), number)
                act = self.acts[min(len(self.requests), len(self.acts) - 1)]
                self.requests.append(request)
                await self._tell()
                if (doing := act(Talk(request, writer))) is not None:
                    await doing
        except (asyncio.IncompleteReadError, ConnectionError):
            self.ended += 1
            await self._tell()
        finally:
            writer.close()

    async def _tell(self) -> None:
        async with self.changed:
            self.changed.notify_all()


@asynccontextmanager
async def faulty(*acts: Act, tls: ssl.SSLContext | None = None) -> AsyncIterator[Faulty]:
    """Serve a script."""
    served = Faulty(acts)
    server = await asyncio.start_server(served.take, "127.0.0.1", 0, ssl=tls)
    served.url = f"{'https' if tls else 'http'}://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    try:
        yield served
    finally:
        server.close()
