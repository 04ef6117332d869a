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
    """What one peer has acknowledged."""

    bytes: int | None = None
    """Bytes acknowledged; None if the kernel was not asked yet."""
    since: float | None = None
    """When that number was first seen, in seconds of the timer's clock; None if unknown."""


_NOT_ASKED = _Acknowledged()


class Timer:
    """Looks once a second at the streams that are due.

    A stream is due when it expires, and at the latest a heartbeat's interval after the last write. A later write does
    not move it: the timer finds out at its next look, and then decides when to look again.

    A peer that vanishes is cut within the heartbeat's interval plus 30 s. When it vanishes, the last write that it has
    acknowledged is at most an interval old, so the next look comes within an interval. That look finds pending bytes,
    or it writes a heartbeat, which then stays pending. From then on the peer is checked every second.
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
        self._period = min(self._silence, history_seconds / 3 / LOOKS_PER_STALE)
        # Peers with pending bytes, and those that got a heartbeat at the last tick.
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
        written = _Acknowledged(since=now)
        silent = []
        here = self._broker.delivered()
        for number, subscription in enumerate(due, 1):
            if subscription in self._streams:
                if self._look(subscription, now, here):
                    silent.append(subscription)
                else:
                    self._watched.setdefault(subscription, _NOT_ASKED)
                wheel.put(subscription, self._next_look(subscription, now))
            if number % SLICE == 0:
                await asyncio.sleep(0)
                here = self._broker.delivered()
        await self._probe(now)
        for subscription in silent:
            # What was written now is acknowledged whole or not at all, so while it is pending, nothing was since.
            self._watched.setdefault(subscription, written)

    def _look(self, subscription: Subscription, now: float, here: Cursor) -> bool:
        """Write or end what is due. Returns True if something was written to a stream that was silent."""
        if subscription.closed:
            # The response is being ended. Its reader may stall on the last bytes.
            return False
        if subscription.principal.expires <= now + self._wall_ahead:
            subscription.close(CloseReason.EXPIRED, reconnect=subscription.principal.renewable, retry_ms=_retry_ms())
        elif subscription.ends_at <= now:
            subscription.close(CloseReason.MAX_AGE, retry_ms=_retry_ms())
        elif subscription.idle and here.offset - subscription.last_id > self._stale_us:
            subscription.write_position(service_events.position(here), at=now)
            return True
        elif int(now) >= int(subscription.wrote_at + self._silence):
            subscription.heartbeat(at=now)
            return True
        return False

    def _next_look(self, subscription: Subscription, now: float) -> int:
        due = min(
            subscription.wrote_at + self._silence,
            now + self._period,
            subscription.ends_at,
            subscription.principal.expires - self._wall_ahead,
        )
        return max(int(due), int(now) + 1)

    async def _probe(self, now: float) -> None:
        for number, (subscription, (acknowledged, since)) in enumerate([*self._watched.items()], 1):
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
