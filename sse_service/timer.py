"""The one timer of all streams: heartbeats, idle positions, and the end of those that are too old or have stalled."""

from __future__ import annotations

import asyncio
import random
import time
from typing import TYPE_CHECKING

from sse_service import frames
from sse_service.subscription import CloseReason

if TYPE_CHECKING:
    from sse_service.brokers.base import Broker
    from sse_service.sink import Progress
    from sse_service.streams import Streams
    from sse_service.subscription import Subscription

TICK_SECONDS = 1.0

STALLED_SECONDS = 30
"""A peer that acknowledges no byte for so long, with bytes pending, is cut."""

PROBE_SECONDS = 5
"""Between two questions to the kernel."""

SLICE = 500
"""Streams looked at before live events have their turn."""


class Timer:
    """Looks at every stream once a second."""

    def __init__(self, *, streams: Streams, broker: Broker, heartbeat_seconds: int, history_seconds: float) -> None:
        self._streams = streams
        self._broker = broker
        self._heartbeat = heartbeat_seconds
        # A third: two more may be lost on the way before a resume would look like a gap.
        self._stale_us = int(history_seconds * 1_000_000 / 3)
        # Streams that were written to, or that had bytes pending, with the progress last seen and its second.
        self._watched: dict[Subscription, tuple[Progress, int] | None] = {}
        self._seconds = 0

    async def run(self) -> None:
        """Tick until cancelled."""
        while True:
            await asyncio.sleep(TICK_SECONDS)
            await self.tick()

    async def tick(self) -> None:
        """One second has passed."""
        self._seconds += 1
        here = self._broker.delivered()
        position = frames.position(here)
        now, age = time.time(), time.monotonic()
        for number, subscription in enumerate(self._streams.snapshot(), 1):
            if subscription.fresh:
                subscription.fresh = False
                subscription.silent_seconds = 0
                self._watched.setdefault(subscription)
            else:
                subscription.silent_seconds += 1
            if subscription.principal.expires <= now:
                subscription.close(CloseReason.EXPIRED, reconnect=False)
            elif subscription.ends_at <= age:
                subscription.close(CloseReason.MAX_AGE, retry_ms=random.randint(1000, 5000))  # noqa: S311  spreads load
            elif subscription.idle and here.offset - subscription.last_id > self._stale_us:
                subscription.tell_position(position, here)
            elif subscription.silent_seconds >= self._heartbeat:
                subscription.heartbeat()
            if number % SLICE == 0:
                await asyncio.sleep(0)
                here = self._broker.delivered()
                position = frames.position(here)
        if self._seconds % PROBE_SECONDS == 0:
            await self._probe()

    async def _probe(self) -> None:
        still_open = set(self._streams.snapshot())
        for number, (subscription, seen) in enumerate(list(self._watched.items()), 1):
            progress = subscription.sink.progress() if subscription in still_open else None
            if progress is None or not progress.pending:
                del self._watched[subscription]
            elif seen is None or progress.acknowledged != seen[0].acknowledged:
                self._watched[subscription] = progress, self._seconds
            elif self._seconds - seen[1] >= STALLED_SECONDS:
                del self._watched[subscription]
                subscription.cut(CloseReason.SLOW)
            if number % SLICE == 0:
                await asyncio.sleep(0)
