"""A server for SQS's protocol that answers each request by a script, which controls every byte."""

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

from tests.integration.process import DEADLINE

MESSAGE = {"MessageId": "m", "ReceiptHandle": "r", "Body": "x"}
SUCCESSES = {
    "ReceiveMessage": {"Messages": [MESSAGE]},
    "DeleteMessageBatch": {"Successful": [{"Id": "0"}], "Failed": []},
}


@dataclass(frozen=True, slots=True)
class Request:
    """A request that a client sent."""

    headers: Mapping[str, str]
    body: bytes
    connection: int
    """The number of the connection, from 1."""

    @property
    def operation(self) -> str:
        return self.headers["x-amz-target"].removeprefix("AmazonSQS.")


@dataclass(slots=True)
class Exchange:
    """One request, and methods to answer it."""

    request: Request
    writer: asyncio.StreamWriter

    def success(self) -> bytes:
        """The body of a successful response."""
        return json.dumps(SUCCESSES[self.request.operation]).encode()

    def respond(self, status: str, body: bytes | None = None, *headers: str, length: bool = True) -> None:
        body = self.success() if body is None else body
        sized = (f"Content-Length: {len(body)}",) if length else ()
        head = (f"HTTP/1.1 {status}", "Content-Type: application/x-amz-json-1.0", "x-amzn-RequestId: id-1")
        self.writer.write("\r\n".join((*head, *headers, *sized, "", "")).encode() + body)

    def reset(self) -> None:
        """Close the connection with a TCP reset."""
        linger = struct.pack("ii", 1, 0)
        self.writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
        self.writer.transport.abort()

    def close(self) -> None:
        self.writer.close()


Step = Callable[[Exchange], Coroutine[Any, Any, None] | None]


def succeed(exchange: Exchange) -> None:
    exchange.respond("200 OK")


@dataclass(slots=True)
class ScriptedServer:
    """The script, and a record of what clients did."""

    script: Sequence[Step]
    """One step for each request. The last step answers all further requests."""
    requests: list[Request] = field(default_factory=list)
    connections: int = 0
    closed: int = 0
    """Connections that the client closed."""
    url: str = ""
    changed: asyncio.Condition = field(default_factory=asyncio.Condition)

    async def until(self, predicate: Callable[[], bool]) -> None:
        """Wait until the predicate holds."""
        async with asyncio.timeout(DEADLINE), self.changed:
            await self.changed.wait_for(predicate)

    async def handle(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        number = self.connections
        try:
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")[1:-2]
                headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in head)}
                request = Request(headers, await reader.readexactly(int(headers["content-length"])), number)
                step = self.script[min(len(self.requests), len(self.script) - 1)]
                self.requests.append(request)
                await self._notify()
                if (running := step(Exchange(request, writer))) is not None:
                    await running
        except (asyncio.IncompleteReadError, ConnectionError):
            self.closed += 1
            await self._notify()
        finally:
            writer.close()

    async def _notify(self) -> None:
        async with self.changed:
            self.changed.notify_all()


@asynccontextmanager
async def scripted_server(*script: Step, tls: ssl.SSLContext | None = None) -> AsyncIterator[ScriptedServer]:
    """Serve a script."""
    scripted = ScriptedServer(script)
    server = await asyncio.start_server(scripted.handle, "127.0.0.1", 0, ssl=tls)
    scripted.url = f"{'https' if tls else 'http'}://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    try:
        yield scripted
    finally:
        server.close()
