"""One timer for all streams. It sends heartbeats and positions, and ends expired, old and stalled streams."""

from __future__ import annotations

import asyncio
import random
import time
from typing import TYPE_CHECKING, NamedTuple

from sse_service.model.reasons import CloseReason
from sse_service.streams import service_events

if TYPE_CHECKING:
    from collections.abc import Callable

    from sse_service.brokers.base import Broker
    from sse_service.model.cursor import Cursor
    from sse_service.streams.registry import StreamRegistry
    from sse_service.streams.sink import Progress
    from sse_service.streams.subscription import Subscription

TICK_SECONDS = 1

STALLED_SECONDS = 30
"""A peer with pending bytes is cut if it acknowledges none for this long."""

LOOKS_PER_STALE = 4
"""A stream is looked at this often while its position becomes stale."""

CLOCK_SET_SECONDS = 0.5
"""The wall clock was set if it has moved by more than this against the monotonic one since the last tick."""

SLICE = 100
"""How many streams are looked at before live events get a turn."""


class _Acknowledged(NamedTuple):
    """What a peer with pending bytes has acknowledged."""

    bytes: int
    since: float
    """No more was acknowledged since then, in seconds of the timer's clock."""


class Timer:
    """Looks once a second at the streams that are due.

    A stream is due when it expires, and at the latest a heartbeat's interval after the last write. A later write does
    not move it: the timer finds out at its next look, and then decides when to look again.

    A peer that vanishes is cut within the heartbeat's interval plus 30 s. Within an interval, a look finds bytes that
    it has not acknowledged, or writes a heartbeat, which it will not acknowledge. From then on it has 30 s. The bytes
    of a heartbeat are found at the next look, which therefore comes within these 30 s. Peers with pending bytes are
    checked every second.
    """

    def __init__(
        self,
        *,
        streams: StreamRegistry,
        broker: Broker,
        heartbeat_seconds: int,
        history_seconds: float,
        clock: Callable[[], float] = time.monotonic,
        wall_clock: Callable[[], float] = time.time,
    ) -> None:
        self._streams = streams
        self._broker = broker
        self._clock = clock
        self._wall_clock = wall_clock
        # A third of the History's age. Even if two positions are lost on the way, a resume is not a gap.
        self._stale_us = int(history_seconds * 1_000_000 / 3)
        # A tick less than the interval: the stream is looked at in the second that begins then, and not at its start.
        self._silence = heartbeat_seconds - TICK_SECONDS
        # The longest time between two looks: for heartbeats, for positions, and for peers that have vanished.
        self._period = min(self._silence, history_seconds / 3 / LOOKS_PER_STALE, STALLED_SECONDS - TICK_SECONDS)
        # Peers with pending bytes.
        self._watched: dict[Subscription, _Acknowledged] = {}
        self._wall_ahead = wall_clock() - clock()

    async def run(self) -> None:
        """Tick until cancelled, in the middle of each second, so that an early or late tick is in the right one."""
        while True:
            now = self._clock()
            await asyncio.sleep(int(now + TICK_SECONDS / 2) + TICK_SECONDS / 2 - now)
            await self.tick()

    async def tick(self) -> None:
        """Look at the streams that are due, and at the peers that have not acknowledged everything."""
        now, ahead = self._clock(), self._wall_clock() - self._clock()
        was_set = abs(ahead - self._wall_ahead) > CLOCK_SET_SECONDS
        self._wall_ahead = ahead
        wheel = self._streams.wheel
        due = wheel.take_all() if was_set else wheel.take(int(now))
        here = self._broker.delivered()
        for number, subscription in enumerate(due, 1):
            # A stream may end while others have their turn.
            if subscription.look_at:
                self._look(subscription, now, here)
            # The look itself may have ended it.
            if subscription.look_at:
                wheel.put(subscription, self._next_look(subscription, now))
            if number % SLICE == 0:
                await asyncio.sleep(0)
                here = self._broker.delivered()
        await self._check_pending(now)

    def _look(self, subscription: Subscription, now: float, here: Cursor) -> None:
        """Note a peer with pending bytes, then write or end what is due."""
        progress = subscription.sink.progress()
        if progress.pending and subscription not in self._watched:
            self._watched[subscription] = _Acknowledged(progress.acknowledged, _since(subscription, progress, now))
        if subscription.closed:
            # The response is being ended. Its reader may stall on the last bytes.
            return
        if subscription.principal.expires <= now + self._wall_ahead:
            subscription.close(CloseReason.EXPIRED, reconnect=subscription.principal.renewable, retry_ms=_retry_ms())
        elif subscription.ends_at <= now:
            subscription.close(CloseReason.MAX_AGE, retry_ms=_retry_ms())
        elif subscription.idle and here.offset - subscription.last_id > self._stale_us:
            subscription.write_position(service_events.position(here), at=now)
        elif int(now) >= int(subscription.wrote_at + self._silence):
            subscription.heartbeat(at=now)

    def _next_look(self, subscription: Subscription, now: float) -> int:
        due = min(
            subscription.wrote_at + self._silence,
            now + self._period,
            subscription.ends_at,
            subscription.principal.expires - self._wall_ahead,
        )
        return max(int(due), int(now) + 1)

    async def _check_pending(self, now: float) -> None:
        for number, (subscription, (acknowledged, since)) in enumerate([*self._watched.items()], 1):
            progress = subscription.sink.progress() if subscription.look_at else None
            if progress is None or not progress.pending:
                del self._watched[subscription]
            elif progress.acknowledged != acknowledged:
                self._watched[subscription] = _Acknowledged(progress.acknowledged, now)
            elif now - since >= STALLED_SECONDS - TICK_SECONDS:
                # The next tick would be too late.
                del self._watched[subscription]
                subscription.cut(CloseReason.SLOW)
            if number % SLICE == 0:
                await asyncio.sleep(0)


def _since(subscription: Subscription, progress: Progress, now: float) -> float:
    """Return since when nothing was acknowledged. At the look before this one, nothing was pending."""
    beat_at = subscription.beat_at
    # A heartbeat is acknowledged whole or not at all. If it is the last write, it is what is pending.
    if subscription.wrote_at == beat_at or progress.silent_seconds > now - beat_at:
        return beat_at
    return now


def _retry_ms() -> int:
    return random.randint(1000, 5000)  # noqa: S311  spreads load
