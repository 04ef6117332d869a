"""The quiet end of a task: streams are closed one by one, each told when to come back."""

from __future__ import annotations

import asyncio
import logging
import random
from typing import TYPE_CHECKING

from sse_service.model.reasons import CloseReason

if TYPE_CHECKING:
    from collections.abc import Callable

    from sse_service.streams.registry import Streams
    from sse_service.streams.subscription import Subscription
    from sse_service.telemetry.health import Health

MIN_OPEN_SECONDS = 10.0
"""How long the port stays open though no stream is left: the load balancer still sends requests for a while."""

_log = logging.getLogger(__name__)


class Drain:
    """Ends everything within a time."""

    def __init__(
        self,
        *,
        streams: Streams,
        health: Health,
        stop_consumer: Callable[[], None],
        consumed: asyncio.Event,
        seconds: float,
    ) -> None:
        """``consumed`` is set when the consumer has ended by itself."""
        self._streams = streams
        self._health = health
        self._stop_consumer = stop_consumer
        self._consumed = consumed
        self._seconds = seconds
        self._hurry = asyncio.Event()

    def hurry(self) -> None:
        """Close at once what is left. Idempotent."""
        self._hurry.set()

    async def run(self) -> None:
        """Turn new streams away, stop the consumer, then close the streams spread over the time."""
        loop = asyncio.get_running_loop()
        begun = loop.time()
        self._health.draining = True
        self._streams.draining = True
        self._stop_consumer()
        waiting = self._streams.snapshot()
        _log.info("draining %d streams", len(waiting))
        # In random order, or the streams of one user would all go together.
        random.shuffle(waiting)
        # From 0: the last is told while the port is still open.
        for number, subscription in enumerate(waiting):
            await self._until(begun + self._seconds * number / len(waiting))
            _close(subscription)
        # Those that were being opened when the drain began.
        for subscription in self._streams.snapshot():
            _close(subscription)
        await self._until(begun + min(self._seconds, MIN_OPEN_SECONDS))
        # An open poll that is cancelled hides the messages it would have brought until their visibility times out.
        await self._until(begun + self._seconds, self._consumed)

    async def _until(self, when: float, event: asyncio.Event | None = None) -> None:
        """Wait for the time, for the event, or until told to hurry."""
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
