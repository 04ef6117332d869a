"""The one timer of all streams: heartbeats, positions for idle streams, and the end of old and stalled ones."""

from __future__ import annotations

import asyncio
import random
import time
from typing import TYPE_CHECKING, NamedTuple

from sse_service.model.reasons import CloseReason
from sse_service.streams import service_events

if TYPE_CHECKING:
    from sse_service.brokers.base import Broker
    from sse_service.streams.registry import StreamRegistry
    from sse_service.streams.subscription import Subscription

TICK_SECONDS = 1.0

STALLED_SECONDS = 30
"""A peer that has bytes pending and acknowledges none for this long is cut."""

PROBE_SECONDS = 5
"""Between two questions to the kernel about a stream that was written to. One that lags is asked about at each tick."""

SLICE = 500
"""Streams looked at before live events have their turn."""


class _Acknowledged(NamedTuple):
    """What is known of a peer."""

    bytes: int | None = None
    """Bytes acknowledged; None before the first question."""
    since: float | None = None
    """Seconds of the timer since when it is that number; None where that is not known."""


_NOT_ASKED = _Acknowledged()


class Timer:
    """Looks at every stream once a second."""

    def __init__(
        self, *, streams: StreamRegistry, broker: Broker, heartbeat_seconds: int, history_seconds: float
    ) -> None:
        self._streams = streams
        self._broker = broker
        self._heartbeat = heartbeat_seconds
        # A third of the History's age: two positions may be lost on the way before a resume would be a gap.
        self._stale_us = int(history_seconds * 1_000_000 / 3)
        # Streams that were written to, or that have bytes pending.
        self._watched: dict[Subscription, _Acknowledged] = {}
        self._seconds = 0.0
        self._next_probe = 0.0

    async def run(self) -> None:
        """Tick until cancelled."""
        before = time.monotonic()
        due = before
        while True:
            due += TICK_SECONDS
            await asyncio.sleep(due - time.monotonic())
            now = time.monotonic()
            await self.tick(now - before)
            # Time that a busy loop has taken is not made up for by ticks in a row.
            before, due = now, max(due, now)

    async def tick(self, seconds: float = TICK_SECONDS) -> None:
        """Look at every stream, after this much time since the last tick."""
        self._seconds += seconds
        here = self._broker.delivered()
        position = service_events.position(here)
        now, age = time.time(), time.monotonic()
        for number, subscription in enumerate(self._streams.snapshot(), 1):
            if subscription.elapse(seconds) and self._watched.get(subscription, _NOT_ASKED).bytes is None:
                self._watched[subscription] = _NOT_ASKED
            if subscription.principal.expires <= now:
                subscription.close(CloseReason.EXPIRED, reconnect=False)
            elif subscription.ends_at <= age:
                subscription.close(CloseReason.MAX_AGE, retry_ms=random.randint(1000, 5000))  # noqa: S311  spreads load
            elif subscription.idle and here.offset - subscription.last_id > self._stale_us:
                subscription.tell_position(position)
            elif subscription.silent_seconds + TICK_SECONDS >= self._heartbeat:
                # At the next tick it would be late. This write is made now, at a tick; one that is only noticed at a
                # tick was made up to a tick before. So its silence begins a tick later.
                subscription.heartbeat(silent_seconds=-TICK_SECONDS)
                # A heartbeat is acknowledged whole or not at all. If it waits, the peer's last sign of life was before.
                self._watched.setdefault(subscription, _Acknowledged(since=self._seconds))
            if number % SLICE == 0:
                await asyncio.sleep(0)
                here = self._broker.delivered()
                position = service_events.position(here)
        if self._seconds >= self._next_probe:
            self._next_probe = self._seconds + PROBE_SECONDS
            await self._probe([*self._watched.items()])
        else:
            await self._probe([pair for pair in self._watched.items() if pair[1].bytes is not None])

    async def _probe(self, watched: list[tuple[Subscription, _Acknowledged]]) -> None:
        now = self._seconds
        for number, (subscription, (acknowledged, since)) in enumerate(watched, 1):
            progress = subscription.sink.progress() if subscription in self._streams else None
            if progress is None or not progress.pending:
                del self._watched[subscription]
            elif acknowledged is None or since is None:
                self._watched[subscription] = _Acknowledged(progress.acknowledged, now if since is None else since)
            elif progress.acknowledged != acknowledged:
                self._watched[subscription] = _Acknowledged(progress.acknowledged, now)
            elif now - since >= STALLED_SECONDS - TICK_SECONDS:
                # At the next tick it would be late: 15 s to a heartbeat and 30 s from there are 45 s at most.
                del self._watched[subscription]
                subscription.cut(CloseReason.SLOW)
            if number % SLICE == 0:
                await asyncio.sleep(0)
