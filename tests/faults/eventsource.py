"""An EventSource that stays connected and obeys ``retry``. Thousands of them fit into one process."""

from __future__ import annotations

import asyncio
import json
import time
from dataclasses import dataclass, field

from tests.faults.client import Block, Client

FIRST_RETRY = 3.0
"""Seconds. This is the default of browsers."""


@dataclass
class EventSource(Client):
    """One page of one user. It also records when its connections began and ended."""

    reasons: tuple[str, ...] = ("drain",)
    """The reasons for which the service may close its streams."""
    retry: float = FIRST_RETRY
    """The last ``retry`` that it got, in seconds."""
    begun: list[float] = field(default_factory=list)
    """When it connected, in monotonic seconds."""
    ended: list[float] = field(default_factory=list)
    """When each of its streams ended."""
    away: list[float] = field(default_factory=list)
    """Seconds from each stream's end to the next ``stream.ready``."""
    turned_away: int = 0
    """How many connections were only told to come back later."""
    cuts: int = 0
    """How many connections ended without a ``stream.close``."""
    received: int = 0
    """How many events it received."""
    faults: list[str] = field(default_factory=list)
    """Everything that should not have happened to a client during a deploy."""
    open: bool = False
    """Whether it has a stream that is ready."""
    _closed: str | None = None
    """The data of this connection's ``stream.close``."""

    async def run(self) -> None:
        """Connect again and again, until cancelled."""
        while True:
            await self._stay()
            await asyncio.sleep(self.retry)

    async def _stay(self) -> None:
        self.connections += 1
        self.begun.append(time.monotonic())
        self._closed = None
        over = asyncio.get_running_loop().create_future()
        try:
            transport, _ = await asyncio.get_running_loop().create_connection(
                lambda: _Connection(self, over), "127.0.0.1", self.port
            )
        except OSError as error:
            self.faults.append(f"could not connect: {error}")
            return
        try:
            await over
        finally:
            transport.abort()
        if self._closed is None:
            self.cuts += 1
        elif json.loads(self._closed) not in [{"reason": reason, "reconnect": True} for reason in self.reasons]:
            self.faults.append(f"was told {self._closed}")
        if self.open:
            self.open = False
            self.ended.append(time.monotonic())
        else:
            self.turned_away += 1

    def answered(self, status: bytes) -> None:
        if status != b"200":
            self.refused += 1
            self.faults.append(f"was answered {status.decode()}, after which an EventSource never comes back")

    def _take(self, block: Block) -> None:
        super()._take(block)
        if block.retry is not None:
            self.retry = block.retry / 1000
        if block.type == "stream.ready":
            if self.ended:
                self.away.append(block.at - self.ended[-1])
                if not json.loads(block.data)["resumed"]:
                    self.faults.append("was not resumed")
            self.open = True
        elif block.type == "stream.close":
            self._closed = block.data
        elif not block.type.startswith("stream."):
            self.received += 1


class _Connection(asyncio.Protocol):
    """Sends the request and passes the stream on to its page."""

    def __init__(self, page: EventSource, over: asyncio.Future[None]) -> None:
        self._page = page
        self._over = over
        self._raw = b""
        self._text = b""
        self._chunked: bool | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # asyncio passes a Transport
        transport.write(self._page.request())

    def data_received(self, data: bytes) -> None:
        self._raw += data
        if self._chunked is None and not self._read_head():
            return
        if self._chunked:
            self._unchunk()
        else:
            self._text, self._raw = self._text + self._raw, b""
        self._text = self._page.dispatch(self._text)

    def connection_lost(self, exc: Exception | None) -> None:
        if not self._over.done():
            self._over.set_result(None)

    def _read_head(self) -> bool:
        head, found, rest = self._raw.partition(b"\r\n\r\n")
        if found:
            self._raw = rest
            self._chunked = b"transfer-encoding: chunked" in head.lower()
            self._page.answered(head.split(b" ", 2)[1])
        return bool(found)

    def _unchunk(self) -> None:
        raw = self._raw
        while (end := raw.find(b"\r\n")) >= 0:
            size = int(raw[:end], 16)
            if len(raw) < end + size + 4:
                break
            self._text += raw[end + 2 : end + 2 + size]
            raw = raw[end + size + 4 :]
        self._raw = raw
