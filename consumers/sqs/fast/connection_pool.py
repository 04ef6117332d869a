"""Keeps connections to one SQS endpoint open between calls."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Awaitable, Callable
from urllib.parse import SplitResult

from consumers.sqs.fast.http_connection import HTTPConnection, HTTPResponse


class ConnectionUnavailable(Exception):  # noqa: N818  names what happened
    """No connection was free, and none could be made. Nothing was sent, so another client may send the request."""


class ConnectionPool:
    """Sends each request over a connection that no other request is using."""

    __slots__ = (
        "_connect_seconds",
        "_idle",
        "_keep_seconds",
        "_max",
        "_open",
        "_silence_seconds",
        "_tls",
        "_url",
        "host",
    )

    def __init__(
        self,
        url: SplitResult,
        *,
        tls: Callable[[], Awaitable[ssl.SSLContext]],
        max_connections: int,
        connect_seconds: float,
        silence_seconds: float,
        keep_seconds: float,
    ) -> None:
        """A connection that has been idle for ``keep_seconds`` is not used again."""
        self._url = url
        self.host = url.netloc
        """The value of the ``Host`` header."""
        self._tls = tls
        self._max = max_connections
        self._connect_seconds = connect_seconds
        self._silence_seconds = silence_seconds
        self._keep_seconds = keep_seconds
        self._open: set[HTTPConnection] = set()
        self._idle: list[HTTPConnection] = []

    async def send(self, request: bytes) -> HTTPResponse:
        """Return the response, whatever its status. Raises ConnectionUnavailable, or botocore's connection errors."""
        connection = self._take_idle() or await self._connect()
        try:
            response = await connection.exchange(request)
        finally:
            if connection.reusable:
                self._idle.append(connection)
            else:
                self._discard(connection)
        self._discard_expired(connection.idle_since)
        return response

    def close(self) -> None:
        """Abort every connection."""
        for connection in [*self._open]:
            self._discard(connection)
        self._idle.clear()

    def _take_idle(self) -> HTTPConnection | None:
        # Take the one used last, so that surplus connections stay idle and expire.
        while self._idle:
            connection = self._idle.pop()
            if connection.reusable and asyncio.get_running_loop().time() - connection.idle_since < self._keep_seconds:
                return connection
            self._discard(connection)
        return None

    async def _connect(self) -> HTTPConnection:
        if len(self._open) >= self._max:
            raise ConnectionUnavailable("all connections are in use")
        connection = HTTPConnection(self._url.geturl(), self._silence_seconds)
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
            self._discard(connection)
            # Nothing was sent, so aiobotocore makes the call. If the endpoint is at fault, it raises its own error.
            if isinstance(error, Exception):
                raise ConnectionUnavailable(f"no connection could be made ({type(error).__name__})") from error
            raise
        if not connection.reusable:
            self._discard(connection)
            raise ConnectionUnavailable("a new connection was closed at once")
        return connection

    def _discard_expired(self, now: float) -> None:
        while self._idle and now - self._idle[0].idle_since >= self._keep_seconds:
            self._discard(self._idle.pop(0))

    def _discard(self, connection: HTTPConnection) -> None:
        self._open.discard(connection)
        connection.abort()
