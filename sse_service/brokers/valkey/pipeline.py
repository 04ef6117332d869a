"""Pipelining: many calls share one connection, and answers come in the order of the calls."""

from __future__ import annotations

import asyncio
from collections import deque
from typing import TYPE_CHECKING, Any

from redis.exceptions import InvalidResponse, RedisError, ResponseError

from sse_service.brokers.valkey.link import CALL_SECONDS, pack
from sse_service.model.errors import Unavailable

if TYPE_CHECKING:
    from sse_service.brokers.valkey.link import Link

BROKEN = "the connection broke"
"""Used instead of the cause's message, which may contain the server's address."""


class Pipeline:
    """Sends the commands of many callers on one Link, and returns the right answer to each.

    If a caller is cancelled while it waits, its answer is discarded when it comes, and can never be taken for the
    answer to another call.
    """

    def __init__(self, link: Link) -> None:
        self._link = link
        # Callers in the order of their commands, and when each must have its answer.
        self._waiting: deque[tuple[asyncio.Future[Any], float]] = deque()
        self._ended: str | None = None
        # One timer for all calls: it looks at the oldest one.
        self._timer: asyncio.TimerHandle | None = None
        link.attach(self)

    @property
    def ended(self) -> bool:
        """Whether the connection is lost, so that no call succeeds any more."""
        return self._ended is not None

    async def call(self, *arguments: str | bytes | int) -> Any:
        """Send a command and return its answer. Raises Unavailable, and ResponseError if the server refuses it."""
        command = pack(*arguments)
        if self._ended is not None:
            raise Unavailable(self._ended)
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[Any] = loop.create_future()
        until = loop.time() + CALL_SECONDS
        self._waiting.append((answer, until))
        if self._timer is None:
            self._timer = loop.call_at(until, self._expire)
        self._link.write(command)
        return await answer

    async def run(self) -> None:
        """Wait until the connection breaks or a call times out, then raise Unavailable."""
        try:
            await self._link.run()
        except (RedisError, OSError) as error:
            raise Unavailable(self._ended or BROKEN) from error
        finally:
            self._end("the connection was closed")

    def receive(self, answers: list[Any]) -> None:
        """Give each answer to its caller."""
        for answer in answers:
            if not self._waiting:
                raise InvalidResponse("an answer to no command")
            caller, _ = self._waiting.popleft()
            if isinstance(answer, RedisError):
                self._refuse(caller, answer)
            elif not caller.done():
                caller.set_result(answer)

    def link_ended(self, error: Exception) -> None:
        """Fail all calls."""
        self._end(BROKEN, error)

    def _refuse(self, caller: asyncio.Future[Any], error: RedisError) -> None:
        if isinstance(error, ResponseError):
            if not caller.done():
                caller.set_exception(error)
            return
        # The server refuses every command, because it is loading its data or wants a password.
        _fail(caller, BROKEN, error)
        self._link.end(error)

    def _expire(self) -> None:
        """End the connection if the oldest call has waited for too long. A cancelled one counts, too."""
        self._timer = None
        if not self._waiting:
            return
        loop = asyncio.get_running_loop()
        _, until = self._waiting[0]
        if loop.time() < until:
            self._timer = loop.call_at(until, self._expire)
            return
        self._end(f"no answer within {CALL_SECONDS:.0f} s")
        self._link.end(TimeoutError())

    def _end(self, reason: str, cause: Exception | None = None) -> None:
        """Fail all waiting and all later calls."""
        if self._ended is not None:
            return
        self._ended = reason
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        for caller, _ in self._waiting:
            _fail(caller, reason, cause)
        self._waiting.clear()


def _fail(caller: asyncio.Future[Any], reason: str, cause: Exception | None) -> None:
    if caller.done():
        return
    failure = Unavailable(reason)
    failure.__cause__ = cause
    caller.set_exception(failure)
    # Mark it as retrieved, because a cancelled caller never retrieves it.
    caller.exception()
