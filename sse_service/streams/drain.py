"""The quiet end of a task: it closes its streams one by one, and tells each when to come back."""

from __future__ import annotations

import asyncio
import logging
import random
from typing import TYPE_CHECKING

from sse_service.model.reasons import CloseReason

if TYPE_CHECKING:
    from collections.abc import Callable

    from sse_service.streams.registry import StreamRegistry
    from sse_service.streams.subscription import Subscription
    from sse_service.telemetry.health import Health

MIN_OPEN_SECONDS = 10.0
"""How long the port stays open after the last stream. The load balancer still sends requests for a while."""

_log = logging.getLogger(__name__)


class Drain:
    """Ends a task's streams within a time."""

    def __init__(
        self,
        *,
        streams: StreamRegistry,
        health: Health,
        stop_consumer: Callable[[], None],
        consumed: asyncio.Event,
        seconds: float,
    ) -> None:
        """``consumed`` is set when the consumer has ended by itself; ``seconds`` is the time for all of it."""
        self._streams = streams
        self._health = health
        self._stop_consumer = stop_consumer
        self._consumed = consumed
        self._seconds = seconds
        self._hurry = asyncio.Event()

    def hurry(self) -> None:
        """Close everything that is left at once. Idempotent."""
        self._hurry.set()

    async def run(self) -> None:
        """Refuse new streams, stop the consumer, then close the open streams, spread over the time."""
        loop = asyncio.get_running_loop()
        begun = loop.time()
        self._health.begin_drain()
        self._stop_consumer()
        waiting = self._streams.snapshot()
        _log.info("draining %d streams", len(waiting))
        # In random order: otherwise all streams of one user would end together.
        random.shuffle(waiting)
        # Beginning at 0, so that the last stream is closed while the port is still open.
        for number, subscription in enumerate(waiting):
            await self._until(begun + self._seconds * number / len(waiting))
            _close(subscription)
        # Streams that were being opened when the drain began.
        for subscription in self._streams.snapshot():
            _close(subscription)
        await self._until(begun + min(self._seconds, MIN_OPEN_SECONDS))
        # A long poll that is cancelled hides the messages it would have brought until their visibility timeout.
        await self._until(begun + self._seconds, self._consumed)

    async def _until(self, when: float, event: asyncio.Event | None = None) -> None:
        """Wait until the time has come, the event is set, or ``hurry`` is called."""
        waits = [asyncio.ensure_future(e.wait()) for e in (self._hurry, event) if e is not None]
        try:
            await asyncio.wait(
                waits,
                timeout=max(when - asyncio.get_running_loop().time(), 0),
                return_when=asyncio.FIRST_COMPLETED,
            )
        finally:
            for wait in waits:
                wait.cancel()


def _close(subscription: Subscription) -> None:
    retry_ms = random.randint(1000, 5000)  # noqa: S311  spreads load
    subscription.close(CloseReason.DRAIN, retry_ms=retry_ms)
