"""The quiet end of a task: it closes its streams one by one, and tells each client when to reconnect."""

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
"""Minimum time that the port stays open in a drain, because the load balancer goes on sending requests for a while."""

AT_ONCE_SECONDS = 0.3
"""How long a drain lasts if nobody would notice its end: messages that have just come are stored and deleted."""

_log = logging.getLogger(__name__)


class Drain:
    """Closes all streams of a task within a time limit."""

    def __init__(
        self,
        *,
        streams: StreamRegistry,
        health: Health,
        stop_consumer: Callable[[], None],
        consumer_done: asyncio.Event,
        seconds: float,
    ) -> None:
        """``consumer_done`` is set when the consumer has finished by itself. ``seconds`` limits the whole drain."""
        self._streams = streams
        self._health = health
        self._stop_consumer = stop_consumer
        self._consumer_done = consumer_done
        self._seconds = seconds
        self._closing_now = asyncio.Event()

    def close_now(self) -> None:
        """Close all remaining streams now. Idempotent."""
        self._closing_now.set()

    async def run(self) -> None:
        """Refuse new streams, stop the consumer, and close the open streams, spread over the time limit.

        Return at once if no stream is open and no load balancer sends requests here.
        """
        loop = asyncio.get_running_loop()
        begun = loop.time()
        self._health.begin_drain()
        self._stop_consumer()
        waiting = self._streams.snapshot()
        if waiting:
            _log.info("draining %d streams", len(waiting))
        elif self._health.probed:
            _log.info("no stream is open; the port stays open for a while, because a load balancer asks for /healthz")
        else:
            # `docker stop` kills what has not ended after 10 s. An open poll may last longer.
            _log.info("ending at once: no stream is open, and no load balancer asks for /healthz")
            await self._until(begun + min(self._seconds, AT_ONCE_SECONDS), self._consumer_done)
            self.close_now()
        # Random order, so that the streams of one user do not all end together.
        random.shuffle(waiting)
        # The first closes at 0, so the last one closes while the port is still open.
        for number, subscription in enumerate(waiting):
            await self._until(begun + self._seconds * number / len(waiting))
            _close(subscription)
        # Close the streams that were still being opened when the drain began.
        for subscription in self._streams.snapshot():
            _close(subscription)
        await self._until(begun + min(self._seconds, MIN_OPEN_SECONDS))
        # Cancelling a long poll would hide the messages it was about to return until their visibility timeout.
        await self._until(begun + self._seconds, self._consumer_done)

    async def _until(self, when: float, event: asyncio.Event | None = None) -> None:
        """Wait until the loop's time is ``when``, the event is set, or ``close_now`` is called."""
        waits = [asyncio.ensure_future(e.wait()) for e in (self._closing_now, event) if e is not None]
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
