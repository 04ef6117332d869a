"""One connection to Valkey on which calls are answered in the order in which they were made."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING, Any

from redis.asyncio.connection import ConnectionPool, parse_url
from redis.exceptions import RedisError, ResponseError
from redis.maint_notifications import MaintNotificationsConfig

from sse_service.model.errors import Unavailable

if TYPE_CHECKING:
    from redis.asyncio.connection import AbstractConnection

CALL_SECONDS = 3.0
"""For an answer, and for a connection to be made: past it the store counts as away."""

BROKEN = "the connection broke"
"""In place of the library's own words, which hold the server's address; they are the exception's cause."""

FAULTS = (RedisError, OSError, TimeoutError)
"""What a call or a connection may raise besides Unavailable."""


@asynccontextmanager
async def connection(url: str) -> AsyncIterator[AbstractConnection]:
    """Connect, and disconnect at the end of the block; raises one of FAULTS.

    The library's own retries, health checks and reconnecting stay out: each hides that something may be lost.
    """
    pool = ConnectionPool.from_url(
        url,
        protocol=2,
        socket_timeout=None,
        socket_connect_timeout=None,
        health_check_interval=0,
        maint_notifications_config=MaintNotificationsConfig(enabled=False),
    )
    link = pool.make_connection()  # type: ignore[no-untyped-call]  # redis-py's has no types
    try:
        async with asyncio.timeout(CALL_SECONDS):
            await link.connect_check_health(check_health=False, retry_socket_connect=False)
        yield link
    finally:
        # Without waiting for the peer: it may be gone.
        await link.disconnect(nowait=True)


async def send(link: AbstractConnection, *arguments: str | bytes | int) -> None:
    """Write a command; raises one of FAULTS."""
    try:
        await link.send_packed_command(link.pack_command(*arguments), check_health=False)
    except (RuntimeError, AttributeError) as error:
        # What uvloop says of a transport that has just closed, and what comes of a writer that is gone
        raise ConnectionError(BROKEN) from error


class Link:
    """Calls side by side on one connection.

    Answers are matched to calls by one reader alone: whoever is cancelled while it waits leaves its answer to be thrown
    away, never to be taken for another's.
    """

    def __init__(self, link: AbstractConnection) -> None:
        self._link = link
        self._waiting: deque[asyncio.Future[Any]] = deque()
        self._ended: str | None = None
        # Ended early by the first call that gets no answer
        self._reading = asyncio.timeout(None)

    async def call(self, *arguments: str | bytes | int) -> Any:
        """Give the answer; raises Unavailable, and ResponseError where the server refuses the command."""
        if self._ended is None and not self._link.is_connected:
            # Whoever was cancelled while it wrote has closed it; writing on would connect anew, unseen.
            self._end("a command was cut off")
        if self._ended is not None:
            raise Unavailable(self._ended)
        answer: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self._waiting.append(answer)
        try:
            async with asyncio.timeout(CALL_SECONDS):
                # Written before it first waits: the order of the answers is that of the calls.
                await send(self._link, *arguments)
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
        """Read answers until the connection or a call's patience ends; raises Unavailable, or is cancelled."""
        try:
            async with self._reading:
                while True:
                    answer = await self._next()
                    waiting = self._waiting.popleft()
                    if waiting.done():
                        continue
                    if isinstance(answer, ResponseError):
                        waiting.set_exception(answer)
                    else:
                        waiting.set_result(answer)
        except (RedisError, OSError, TimeoutError, IndexError) as error:
            self._end(BROKEN)
            raise Unavailable(self._ended) from error
        finally:
            self._end("the connection was closed")

    async def _next(self) -> Any:
        try:
            return await self._link.read_response(disable_decoding=True, disconnect_on_error=False)
        except ResponseError as error:
            return error

    def _end(self, reason: str) -> None:
        """Fail every call that waits, and those to come."""
        if self._ended is not None:
            return
        self._ended = reason
        with suppress(RuntimeError):  # raised where nobody reads any more
            self._reading.reschedule(0)
        for answer in self._waiting:
            if not answer.done():
                answer.set_exception(Unavailable(reason))
                # Whoever was cancelled does not ask any more
                answer.exception()
        self._waiting.clear()


def database(url: str) -> int:
    """The number of the database that the URL names."""
    return int(parse_url(url).get("db", 0))
