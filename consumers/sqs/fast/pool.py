"""Connections to one SQS endpoint, kept open between calls."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Awaitable, Callable
from urllib.parse import SplitResult

from consumers.sqs.fast.connection import Connection, Reply

FAULTS = (OSError, ValueError)
"""Why a connection may not come about: the second is for a name that is no host's."""


class NotSent(Exception):  # noqa: N818  names what happened
    """No connection was free or could be made: nothing has left this process, so anybody may send the request."""


class Transport:
    """Sends requests, each over a connection of its own while it lasts."""

    __slots__ = ("_connect_seconds", "_idle", "_keep_seconds", "_most", "_open", "_silence", "_tls", "_url", "host")

    def __init__(
        self,
        url: SplitResult,
        *,
        tls: Callable[[], Awaitable[ssl.SSLContext]],
        most: int,
        connect_seconds: float,
        silence_seconds: float,
        keep_seconds: float,
    ) -> None:
        """At most ``most`` connections; one that is idle for longer than ``keep_seconds`` is not used again."""
        self._url = url
        self.host = url.netloc
        """The endpoint as the header of that name has it."""
        self._tls = tls
        self._most = most
        self._connect_seconds = connect_seconds
        self._silence = silence_seconds
        self._keep_seconds = keep_seconds
        self._open: set[Connection] = set()
        self._idle: list[Connection] = []

    async def send(self, request: bytes) -> Reply:
        """Give the reply, of any status. Raises NotSent, or botocore's errors of a connection."""
        connection = self._kept() or await self._new()
        try:
            reply = await connection.exchange(request)
        finally:
            if connection.reusable:
                self._idle.append(connection)
            else:
                self._drop(connection)
        self._expire(connection.idle_since)
        return reply

    def close(self) -> None:
        """Abort every connection."""
        for connection in [*self._open]:
            self._drop(connection)
        self._idle.clear()

    def _kept(self) -> Connection | None:
        # The one used last: the others may expire.
        while self._idle:
            connection = self._idle.pop()
            if connection.reusable and asyncio.get_running_loop().time() - connection.idle_since < self._keep_seconds:
                return connection
            self._drop(connection)
        return None

    async def _new(self) -> Connection:
        if len(self._open) >= self._most:
            raise NotSent
        connection = Connection(self._url.geturl(), self._silence)
        self._open.add(connection)
        try:
            async with asyncio.timeout(self._connect_seconds):
                secure = self._url.scheme == "https"
                await asyncio.get_running_loop().create_connection(
                    lambda: connection,
                    self._url.hostname or "",
                    self._url.port or (443 if secure else 80),
                    ssl=await self._tls() if secure else None,
                )
        except BaseException as error:
            self._drop(connection)
            if isinstance(error, FAULTS):
                raise NotSent from error
            raise
        if not connection.reusable:
            self._drop(connection)
            raise NotSent
        return connection

    def _expire(self, now: float) -> None:
        while self._idle and now - self._idle[0].idle_since >= self._keep_seconds:
            self._drop(self._idle.pop(0))

    def _drop(self, connection: Connection) -> None:
        self._open.discard(connection)
        connection.abort()
