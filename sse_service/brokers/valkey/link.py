"""One connection to the server: opened by redis-py, then read and written without it."""

from __future__ import annotations

import asyncio
import socket
import ssl
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, Protocol

from hiredis import Reader, pack_command
from redis.asyncio.connection import Connection, ConnectionPool, SSLConnection, parse_url
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import InvalidResponse, RedisError, ResponseError
from redis.maint_notifications import MaintNotificationsConfig

from sse_service.model.errors import Unavailable

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping

    from redis.asyncio.connection import AbstractConnection

CALL_SECONDS = 3.0
"""Timeout of a call or connection attempt. After that, the server counts as unavailable."""

HANDSHAKE_SECONDS = 2.5
"""Timeout of a TLS handshake. It is shorter than CALL_SECONDS, so that it ends before the attempt as a whole does."""

MAX_UNSENT_BYTES = 64 * 1024 * 1024
"""How much may wait for a server that reads slowly. Past it, the connection is closed."""

ANSWERS_PER_TURN = 64
"""How many answers or messages are handled before the event loop gets a turn."""

NO_HANDSHAKE = "the TLS handshake did not complete: a server without TLS needs redis://"
NOT_TRUSTED = "the server's TLS certificate is not trusted"
NO_DATABASE = "the server refuses the database number in SSE_BROKER_URL"

CONNECTION_ERRORS = (RedisError, OSError, TimeoutError)
"""Exceptions of redis-py and of the network that a connection may raise."""

_INCOMPLETE = object()


class Receiver(Protocol):
    """What a Link gives its answers to. Methods never wait."""

    def receive(self, answers: list[Any], /) -> None:
        """Take answers in the server's order. An error reply is a RedisError. If this raises, the Link ends."""
        ...

    def link_ended(self, error: Exception, /) -> None:
        """Note that no more answers will come. Called once."""
        ...


def pack(*arguments: str | bytes | int) -> bytes:
    """Return a command as it is sent."""
    packed: bytes = pack_command(arguments)  # type: ignore[arg-type]  # hiredis declares a tuple of one
    return packed


class Link(asyncio.Protocol):
    """Sends commands, and gives the answers to its Receiver. It never reconnects."""

    def __init__(self, connection: AbstractConnection) -> None:
        """Take over the transport of a connection, which has read all its answers."""
        # redis-py's own attributes: it has no other way to its transport and its classes of error replies.
        self._transport: asyncio.Transport = connection._writer.transport  # type: ignore[assignment, union-attr]
        self._parser = Reader(
            protocolError=InvalidResponse, replyError=connection._parser.parse_error, notEnoughData=_INCOMPLETE
        )
        self._receiver: Receiver | None = None
        self._paused = False
        self._over: asyncio.Future[Exception] = asyncio.get_running_loop().create_future()
        self.error: Exception | None = None
        """Why the connection ended; None while it is open."""
        self._transport.set_protocol(self)

    def attach(self, receiver: Receiver) -> None:
        """Give all further answers to this receiver."""
        self._receiver = receiver
        if self.error is not None:
            receiver.link_ended(self.error)

    def send(self, *arguments: str | bytes | int) -> None:
        """Write a command. If the connection cannot take it, the connection ends."""
        self.write(pack(*arguments))

    def write(self, command: bytes) -> None:
        """Write a packed command. If the connection cannot take it, the connection ends."""
        if self.error is not None:
            return
        if self._transport.is_closing():
            self.end(ConnectionError("the connection has just closed"))
        elif self._transport.get_write_buffer_size() > MAX_UNSENT_BYTES:
            self.end(ConnectionError("the server does not read its commands"))
        else:
            self._transport.write(command)

    def end(self, error: Exception) -> None:
        """Close the connection without waiting for the server, which may be gone. Idempotent."""
        if self.error is not None:
            return
        self.error = error
        self._transport.abort()
        self._over.set_result(error)
        if self._receiver is not None:
            self._receiver.link_ended(error)

    async def run(self) -> None:
        """Wait for the end of the connection, and raise its cause."""
        raise await asyncio.shield(self._over)

    def data_received(self, data: bytes) -> None:
        """Hand on the answers in these bytes."""
        self._parser.feed(data)
        self._hand_on()

    def connection_lost(self, exc: Exception | None) -> None:
        """End."""
        self.end(exc or ConnectionError("the server closed the connection"))

    def _hand_on(self) -> None:
        """Hand on a number of answers. If there may be more, read no further bytes before these are handled."""
        if self.error is not None:
            return
        answers: list[Any] = []
        try:
            while len(answers) < ANSWERS_PER_TURN and (answer := self._parser.gets(False)) is not _INCOMPLETE:
                answers.append(answer)
            if answers:
                if self._receiver is None:
                    raise InvalidResponse("an answer to no command")
                self._receiver.receive(answers)
        # Whatever it is, it must not end in the event loop's own handler, which knows nothing of the receiver.
        except Exception as error:
            self.end(error)
        if self._transport.is_closing():
            return
        if len(answers) == ANSWERS_PER_TURN:
            self._paused = True
            self._transport.pause_reading()
            asyncio.get_running_loop().call_soon(self._hand_on)
        elif self._paused:
            self._paused = False
            self._transport.resume_reading()


class _TLSConnection(SSLConnection):
    """Limits the handshake by itself. A server without TLS waits for the rest of a command, and never answers it."""

    def _connection_arguments(self) -> Mapping[str, Any]:
        return {**super()._connection_arguments(), "ssl_handshake_timeout": HANDSHAKE_SECONDS}


@asynccontextmanager
async def connect(url: str) -> AsyncIterator[Link]:
    """Connect, and disconnect at the end of the block. Raises Unavailable, and one of CONNECTION_ERRORS.

    redis-py understands the URL, and does the handshakes of TLS and of the server. Its retries, health checks and
    reconnects are off, because they would hide possible losses.
    """
    pool = ConnectionPool.from_url(
        url,
        protocol=2,
        socket_timeout=None,
        socket_connect_timeout=None,
        health_check_interval=0,
        maint_notifications_config=MaintNotificationsConfig(enabled=False),
    )
    if pool.connection_class is SSLConnection:
        pool.connection_class = _TLSConnection
    connection = pool.make_connection()  # type: ignore[no-untyped-call]  # redis-py's has no types
    try:
        async with asyncio.timeout(CALL_SECONDS):
            try:
                await _resolve(connection)
                await connection.connect_check_health(check_health=False, retry_socket_connect=False)
            except (RedisConnectionError, ResponseError) as error:
                if reason := _refusal(error):
                    raise Unavailable(reason) from error
                raise
            if await connection.can_read():
                raise ConnectionError("the server closed the connection, or sent more than it was asked for")
        link = Link(connection)
        try:
            yield link
        finally:
            link.end(ConnectionError("the connection was closed"))
    finally:
        await connection.disconnect(nowait=True)


async def _resolve(connection: AbstractConnection) -> None:
    """Look up the server's name, and forget the answer.

    uvloop's create_connection leaves its own look-up behind when it times out, and logs its failure as an error that
    nobody has retrieved. Its getaddrinfo does not. After it, the name is known, and the other look-up does not hang.
    """
    if isinstance(connection, Connection):
        await asyncio.get_running_loop().getaddrinfo(connection.host, connection.port, type=socket.SOCK_STREAM)


def _refusal(error: RedisError) -> str | None:
    """Return why the server cannot be used as the URL says; None if the error has another cause."""
    if isinstance(error, ResponseError):
        return NO_DATABASE if "DB index" in str(error) else None
    cause = error.__context__
    if isinstance(cause, ssl.SSLCertVerificationError):
        return NOT_TRUSTED
    # A handshake that takes too long is a ConnectionAbortedError.
    return NO_HANDSHAKE if isinstance(cause, ssl.SSLError | ConnectionAbortedError) else None


def database(url: str) -> int:
    """Return the database number in the URL."""
    return int(parse_url(url).get("db", 0))
