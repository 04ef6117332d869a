"""Pipelining: many calls share one connection, and answers come in the order of the calls."""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING, Any

from redis.asyncio.connection import Connection, ConnectionPool, SSLConnection, parse_url
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import RedisError, ResponseError
from redis.maint_notifications import MaintNotificationsConfig

from sse_service.model.errors import Unavailable

if TYPE_CHECKING:
    from collections.abc import Mapping

    from redis.asyncio.connection import AbstractConnection

CALL_SECONDS = 3.0
"""Timeout of a call or connection attempt. After that, the server counts as unavailable."""

HANDSHAKE_SECONDS = 2.5
"""Timeout of a TLS handshake. It is shorter than CALL_SECONDS, so that it ends before the attempt as a whole does."""

NO_HANDSHAKE = "the TLS handshake did not complete: a server without TLS needs redis://"
NOT_TRUSTED = "the server's TLS certificate is not trusted"
NO_DATABASE = "the server refuses the database number in SSE_BROKER_URL"

BROKEN = "the connection broke"
"""Used instead of the library's message, which contains the server's address and becomes the exception's cause."""

CONNECTION_ERRORS = (RedisError, OSError, TimeoutError)
"""Exceptions of redis-py and of the network that a connection may raise."""


class _TLSConnection(SSLConnection):
    """Limits the handshake by itself. A server without TLS waits for the rest of a command, and never answers it."""

    def _connection_arguments(self) -> Mapping[str, Any]:
        return {**super()._connection_arguments(), "ssl_handshake_timeout": HANDSHAKE_SECONDS}


@asynccontextmanager
async def connect(url: str) -> AsyncIterator[AbstractConnection]:
    """Connect, and disconnect at the end of the block. Raises Unavailable, and one of CONNECTION_ERRORS.

    The library's retries, health checks and reconnects are off, because they would hide possible losses.
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
        yield connection
    finally:
        # Do not wait for the server: it may be gone.
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


async def send(connection: AbstractConnection, *arguments: str | bytes | int) -> None:
    """Send a command. Raises one of CONNECTION_ERRORS."""
    try:
        await connection.send_packed_command(connection.pack_command(*arguments), check_health=False)
    except (RuntimeError, AttributeError) as error:
        # uvloop raises RuntimeError if the transport has just closed. AttributeError: redis-py has no writer any more.
        raise ConnectionError(BROKEN) from error


def database(url: str) -> int:
    """Return the database number in the URL."""
    return int(parse_url(url).get("db", 0))


class Pipeline:
    """Sends the commands of many callers on one connection, and returns the right answer to each.

    A single reader matches answers to calls. If a caller is cancelled while it waits, its answer is discarded, and can
    never be taken for the answer to another call.
    """

    def __init__(self, connection: AbstractConnection) -> None:
        self._connection = connection
        self._waiting: deque[asyncio.Future[Any]] = deque()
        self._ended: str | None = None
        # Expires early if a call gets no answer.
        self._reading = asyncio.timeout(None)

    @property
    def ended(self) -> bool:
        """Whether the connection is lost, so that no call succeeds any more."""
        return self._ended is not None

    async def call(self, *arguments: str | bytes | int) -> Any:
        """Send a command and return its answer. Raises Unavailable, and ResponseError if the server refuses it."""
        if self._ended is None and not self._connection.is_connected:
            # A caller was cancelled while writing, which closed the connection. Another write would silently reconnect.
            self._end("a command was cut off")
        if self._ended is not None:
            raise Unavailable(self._ended)
        answer: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self._waiting.append(answer)
        try:
            async with asyncio.timeout(CALL_SECONDS):
                # Nothing is awaited before the write, so commands are written in the order of ``_waiting``.
                await send(self._connection, *arguments)
                return await answer
        except TimeoutError:
            self._end(f"no answer within {CALL_SECONDS:.0f} s")
            raise Unavailable(self._ended) from None
        except ResponseError:
            raise
        except (RedisError, OSError) as error:
            self._end(BROKEN)
            raise Unavailable(BROKEN) from error

    async def run(self) -> None:
        """Read answers until cancelled. Raises Unavailable when the connection breaks or a call times out."""
        try:
            async with self._reading:
                while True:
                    answer = await self._read()
                    caller = self._waiting.popleft()
                    if caller.done():
                        continue
                    if isinstance(answer, ResponseError):
                        caller.set_exception(answer)
                    else:
                        caller.set_result(answer)
        except (RedisError, OSError, TimeoutError, IndexError) as error:
            self._end(BROKEN)
            raise Unavailable(self._ended) from error
        finally:
            self._end("the connection was closed")

    async def _read(self) -> Any:
        try:
            return await self._connection.read_response(disable_decoding=True, disconnect_on_error=False)
        except ResponseError as error:
            return error

    def _end(self, reason: str) -> None:
        """Fail all waiting and all later calls."""
        if self._ended is not None:
            return
        self._ended = reason
        with suppress(RuntimeError):  # raised if the reader has ended
            self._reading.reschedule(0)
        for answer in self._waiting:
            if not answer.done():
                answer.set_exception(Unavailable(reason))
                # Mark it as retrieved, because a cancelled caller never retrieves it.
                answer.exception()
        self._waiting.clear()
