"""One poll, and when the waiting ones have to be answered."""

from __future__ import annotations

import asyncio
import math
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from starlette.types import Receive, Scope, Send

    from sse_service.http.uvicorn.transport import StreamTransport
    from sse_service.protocols.polling.sink import PollSink
    from sse_service.streams.registry import OpenStream
    from sse_service.streams.subscription import Subscription

DEADLINES_PER_SECOND = 10
"""Polls whose time is up within the same tenth of a second share a timer. One for each would take 400 bytes."""


class Deadlines:
    """Ends the waits of polls."""

    def __init__(self) -> None:
        # Tenth of a second of the loop's time -> the polls that it ends.
        self._polls: dict[int, dict[Poll, None]] = {}

    def add(self, poll: Poll, when: float) -> int:
        """End a wait at a time of the loop, or up to a tenth of a second later. Returns the key for ``remove``."""
        key = math.ceil(when * DEADLINES_PER_SECOND)
        if key not in self._polls:
            self._polls[key] = {}
            asyncio.get_running_loop().call_at(key / DEADLINES_PER_SECOND, self._expire, key)
        self._polls[key][poll] = None
        return key

    def remove(self, poll: Poll, key: int) -> None:
        """Undo ``add``. Idempotent."""
        self._polls.get(key, {}).pop(poll, None)

    def _expire(self, key: int) -> None:
        for poll in self._polls.pop(key):
            poll.sink.expire()


class Poll:
    """One poll. While it waits, its request has returned, and its connection holds it."""

    __slots__ = ("_answer", "_deadline", "_deadlines", "send", "sink", "stream", "subscription", "transport")

    def __init__(
        self,
        *,
        stream: OpenStream,
        subscription: Subscription,
        sink: PollSink,
        transport: StreamTransport,
        send: Send,
        deadlines: Deadlines,
        answer: Callable[[Poll], Awaitable[object]],
    ) -> None:
        """``answer`` sends the answer of a poll that has waited, by its ``send``."""
        self.stream = stream
        self.subscription = subscription
        self.sink = sink
        self.transport = transport
        self.send = send
        self._answer = answer
        self._deadlines = deadlines
        self._deadline = 0

    @property
    def due(self) -> bool:
        """Whether there is something to tell, the time is up, or the stream is closed."""
        return self.sink.has_news or self.sink.over or self.subscription.closed

    def wait(self, until: float) -> None:
        """Wait until the poll is due, or until a time of the loop. The request must return at once."""
        self.stream.detach()
        self._deadline = self._deadlines.add(self, until)
        self.sink.waiting = self
        self.transport.suspend(self)

    def look(self) -> None:
        """Let the request go on if a poll that waits is due."""
        if self.due:
            self._stop_waiting()
            self.transport.resume(self._go_on)

    def end(self) -> None:
        """End the stream of a poll that waits, because the client has left."""
        self._stop_waiting()
        self.stream.end()

    def _stop_waiting(self) -> None:
        self._deadlines.remove(self, self._deadline)
        self.sink.waiting = None

    async def _go_on(self, _: Scope, _receive: Receive, _send: Send) -> None:
        """Answer by the ``send`` of the first call, because middleware may have wrapped it."""
        try:
            await self._answer(self)
        finally:
            self.stream.end()
