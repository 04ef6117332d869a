"""The one timer of all streams: heartbeats, idle positions, and the end of those that are too old or have stalled."""

from __future__ import annotations

import asyncio
import random
import time
from typing import TYPE_CHECKING, NamedTuple

from sse_service.model.reasons import CloseReason
from sse_service.protocols.sse import frames

if TYPE_CHECKING:
    from sse_service.brokers.base import Broker
    from sse_service.streams.registry import Streams
    from sse_service.streams.subscription import Subscription

TICK_SECONDS = 1.0

STALLED_SECONDS = 30
"""A peer that acknowledges no byte for so long, with bytes pending, is cut."""

PROBE_SECONDS = 5
"""Between two questions to the kernel about those that were written to; those that lag are asked about at each tick."""

SLICE = 500
"""Streams looked at before live events have their turn."""


class _Watched(NamedTuple):
    """How far a peer has come, as far as it was asked."""

    acknowledged: int | None = None
    """Bytes; None where it was not asked yet."""
    since: float | None = None
    """Seconds of the timer since when it is so many; None where that is not known."""


_WRITTEN = _Watched()


class Timer:
    """Looks at every stream once a second."""

    def __init__(self, *, streams: Streams, broker: Broker, heartbeat_seconds: int, history_seconds: float) -> None:
        self._streams = streams
        self._broker = broker
        self._heartbeat = heartbeat_seconds
        # A third: two more may be lost on the way before a resume would look like a gap.
        self._stale_us = int(history_seconds * 1_000_000 / 3)
        # Streams that were written to, or that had bytes pending.
        self._watched: dict[Subscription, _Watched] = {}
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
            # What a busy loop has held up is not made up for by ticks that follow at once.
            before, due = now, max(due, now)

    async def tick(self, seconds: float = TICK_SECONDS) -> None:
        """So much time has passed since the last."""
        self._seconds += seconds
        here = self._broker.delivered()
        position = frames.position(here)
        now, age = time.time(), time.monotonic()
        for number, subscription in enumerate(self._streams.snapshot(), 1):
            if subscription.fresh:
                subscription.fresh = False
                subscription.silent_seconds = 0
                if self._watched.get(subscription, _WRITTEN).acknowledged is None:
                    self._watched[subscription] = _WRITTEN
            else:
                subscription.silent_seconds += seconds
            if subscription.principal.expires <= now:
                subscription.close(CloseReason.EXPIRED, reconnect=False)
            elif subscription.ends_at <= age:
                subscription.close(CloseReason.MAX_AGE, retry_ms=random.randint(1000, 5000))  # noqa: S311  spreads load
            elif subscription.idle and here.offset - subscription.last_id > self._stale_us:
                subscription.tell_position(position, here)
            elif subscription.silent_seconds + TICK_SECONDS >= self._heartbeat:
                # At the next tick it would be too late.
                subscription.heartbeat()
                # Just now: of what is found to be fresh it is only known that it is no older than a tick.
                subscription.silent_seconds = -TICK_SECONDS
                # It is acknowledged whole or not at all: where it waits, the peer's last sign of life was before it.
                self._watched.setdefault(subscription, _Watched(since=self._seconds))
            if number % SLICE == 0:
                await asyncio.sleep(0)
                here = self._broker.delivered()
                position = frames.position(here)
        if self._seconds >= self._next_probe:
            self._next_probe = self._seconds + PROBE_SECONDS
            await self._probe([*self._watched.items()])
        else:
            await self._probe([pair for pair in self._watched.items() if pair[1].acknowledged is not None])

    async def _probe(self, watched: list[tuple[Subscription, _Watched]]) -> None:
        now = self._seconds
        for number, (subscription, (acknowledged, since)) in enumerate(watched, 1):
            progress = subscription.sink.progress() if subscription in self._streams else None
            if progress is None or not progress.pending:
                del self._watched[subscription]
            elif acknowledged is None or since is None:
                self._watched[subscription] = _Watched(progress.acknowledged, now if since is None else since)
            elif progress.acknowledged != acknowledged:
                self._watched[subscription] = _Watched(progress.acknowledged, now)
            elif now - since >= STALLED_SECONDS - TICK_SECONDS:
                # At the next tick it would be too late: 15 s to a heartbeat and 30 s from there are 45 s at most.
                del self._watched[subscription]
                subscription.cut(CloseReason.SLOW)
            if number % SLICE == 0:
                await asyncio.sleep(0)
