"""One timer for all streams. It sends heartbeats and positions, and ends expired, old and stalled streams."""

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
"""A peer with pending bytes is cut if it acknowledges none for this long."""

PROBE_SECONDS = 5
"""How often the kernel is asked about streams that were written to. Those with pending bytes are checked every tick."""

SLICE = 500
"""How many streams are checked before live events get a turn."""


class _Acknowledged(NamedTuple):
    """What one peer has acknowledged."""

    bytes: int | None = None
    """Bytes acknowledged; None if the kernel was not asked yet."""
    since: float | None = None
    """When that number was first seen, in seconds of this timer; None if unknown."""


_NOT_ASKED = _Acknowledged()


class Timer:
    """Checks every stream once a second."""

    def __init__(
        self, *, streams: StreamRegistry, broker: Broker, heartbeat_seconds: int, history_seconds: float
    ) -> None:
        self._streams = streams
        self._broker = broker
        self._heartbeat = heartbeat_seconds
        # A third of the History's age. Even if two positions are lost on the way, a resume is not a gap.
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
            # After a busy loop, skip the missed ticks instead of running them in a row.
            before, due = now, max(due, now)

    async def tick(self, seconds: float = TICK_SECONDS) -> None:
        """Check every stream. ``seconds`` is the time since the last tick."""
        self._seconds += seconds
        here = self._broker.delivered()
        position = service_events.position(here)
        now, age = time.time(), time.monotonic()
        for number, subscription in enumerate(self._streams.snapshot(), 1):
            if subscription.tick(seconds) and self._watched.get(subscription, _NOT_ASKED).bytes is None:
                self._watched[subscription] = _NOT_ASKED
            if subscription.principal.expires <= now:
                subscription.close(
                    CloseReason.EXPIRED, reconnect=subscription.principal.renewable, retry_ms=_retry_ms()
                )
            elif subscription.ends_at <= age:
                subscription.close(CloseReason.MAX_AGE, retry_ms=_retry_ms())
            elif subscription.idle and here.offset - subscription.last_id > self._stale_us:
                subscription.write_position(position)
            elif subscription.silent_seconds + TICK_SECONDS * 1.5 > self._heartbeat:
                # The next tick would be too late: a write is noticed only at the tick after it, so the silence may be
                # a tick longer than counted. A heartbeat is written at a tick, so its count starts a tick lower. Half a
                # tick more, because a timer may fire a millisecond early.
                subscription.heartbeat(silent_seconds=-TICK_SECONDS)
                # A heartbeat is acknowledged whole or not at all. While it is pending, nothing was acknowledged since.
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
                # The next tick would be too late: 15 s to the heartbeat plus 30 s are at most 45 s.
                del self._watched[subscription]
                subscription.cut(CloseReason.SLOW)
            if number % SLICE == 0:
                await asyncio.sleep(0)


def _retry_ms() -> int:
    return random.randint(1000, 5000)  # noqa: S311  spreads load
