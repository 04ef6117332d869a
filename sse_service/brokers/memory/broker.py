"""The broker for a single task."""

from __future__ import annotations

import heapq
import time
from collections import OrderedDict
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from sse_service.brokers.base import Entry, Page
from sse_service.brokers.dedupe import MAX_DEDUPE_KEYS, DedupeWindow, count_duplicate
from sse_service.brokers.memory.history import History, size
from sse_service.model.cursor import Cursor, digest, find_gap, new_epoch

if TYPE_CHECKING:
    from sse_service.brokers.base import Listener, OnRevoked, Revocations
    from sse_service.model.events import Route
    from sse_service.model.revocations import Revocation
    from sse_service.telemetry.metrics import Metrics

MAX_CHANNELS = 100_000
"""Maximum number of channels. Beyond it, the one idle longest is removed, which raises the floor of all channels.

A channel takes about 300 bytes in addition to its name and entries: 30 MB at most."""

IDLE_ORDER_SECONDS = 1
"""Precision of the order of channels by idle time. A channel with an event less than this ago keeps its place."""


class MemoryBroker:
    """A Broker that keeps everything in this process."""

    def __init__(
        self,
        *,
        listener: Listener,
        revocations: Revocations,
        on_revoked: OnRevoked,
        metrics: Metrics,
        history_events: int = 200,
        history_seconds: float = 3600,
        history_bytes: int = 64 * 1024 * 1024,
        dedupe_seconds: float = 900,
        clock: Callable[[], float] = time.time,
        max_channels: int = MAX_CHANNELS,
        max_dedupe_keys: int = MAX_DEDUPE_KEYS,
    ) -> None:
        """Keep ``history_events`` per channel for ``history_seconds``, and ``history_bytes`` in all channels.

        ``clock`` returns seconds since 1970. It may jump; offsets never fall.
        """
        self._listener = listener
        self._revocations = revocations
        self._on_revoked = on_revoked
        self._metrics = metrics
        self._history_events = history_events
        self._age = history_seconds
        self._age_us = int(history_seconds * 1_000_000)
        self._max_bytes = history_bytes
        self._clock = clock
        self._max_channels = max_channels
        # All offsets are above this one, even if the clock steps back later.
        began = self._now()
        self._epoch = new_epoch(began)
        # The highest offset that was given to an event or returned as a position.
        self._last = began
        # The listener has got everything up to here. While it runs, this is below the new events.
        self._delivered_upto = began
        self._delivering = False
        # Channel -> its history. The channel idle longest comes first, with the precision of IDLE_ORDER_SECONDS.
        self._histories: OrderedDict[str, History] = OrderedDict()
        # The highest offset of any channel that was removed.
        self._floor = 0
        self._bytes = 0
        self._dedupe = DedupeWindow(window_us=int(dedupe_seconds * 1_000_000), max_keys=max_dedupe_keys)

    async def publish(self, routes: Sequence[Route]) -> None:
        """Store all routes, then hand the new events to the listener."""
        now = self._now()
        self._dedupe.expire(now)
        stored = [entry for route in routes if (entry := self._store(route, now)) is not None]
        if not stored:
            return
        while self._bytes > self._max_bytes or len(self._histories) > self._max_channels:
            self._make_room()
        self._metrics.events_stored.inc(len(stored))
        self._delivering = True
        try:
            self._listener(stored)
            self._delivered_upto = self._last
        finally:
            self._delivering = False

    def _store(self, route: Route, now: int) -> Entry | None:
        """Store one event. Returns None if it is a duplicate."""
        event, channels = route.event, route.channels
        offset = self._last + 1 if self._last >= now else now
        if (same := self._dedupe.add(event, channels, offset)) is not None:
            count_duplicate(route, same=same, metrics=self._metrics)
            return None
        self._last = offset
        entry = Entry(Cursor(self._epoch, offset, digest(event.id)), event, channels, size(event))
        for channel in channels:
            history = self._histories.get(channel) or self._add_channel(channel)
            if offset - history.last >= IDLE_ORDER_SECONDS * 1_000_000:
                self._histories.move_to_end(channel)
            self._bytes += history.append(entry)
        return entry

    def _add_channel(self, channel: str) -> History:
        history = self._histories[channel] = History(max_events=self._history_events, age_us=self._age_us)
        return history

    @property
    def trouble(self) -> str | None:
        """Always None, because this broker depends on nothing outside this process."""
        return None

    async def check(self) -> None:
        """Do nothing: there is no store to check."""

    async def run(self) -> None:
        """Do nothing: there is no connection."""

    async def subscribe(self, channels: Sequence[str]) -> None:
        """Do nothing: the listener gets every event."""

    def unsubscribe(self, channel: str) -> None:
        """Do nothing: the listener gets every event."""

    async def revoke(self, revocations: Sequence[Revocation]) -> None:
        """Merge them. There is no other task, and they are lost with this process."""
        self._revocations.expire()
        if changed := self._revocations.merge(revocations):
            self._on_revoked(changed)

    async def position(self) -> Cursor:
        """Reserve the present offset."""
        return Cursor(self._epoch, self._reserve())

    def delivered(self) -> Cursor:
        """Reserve the present offset. While the listener runs, return the position before its entries."""
        if not self._delivering:
            self._delivered_upto = self._reserve()
        return Cursor(self._epoch, self._delivered_upto)

    async def replay(self, channels: Sequence[str], after: Cursor | None, limit: int) -> Page:
        """Merge the channels' histories by offset."""
        here = Cursor(self._epoch, self._reserve())
        held = [history for c in dict.fromkeys(channels) if (history := self._histories.get(c))]
        floor = self._floor
        for history in held:
            self._bytes -= history.expire(here.offset)
            floor = max(floor, history.floor)
        gap = find_gap(after, position=here, floor=floor, age_seconds=self._age)
        start = after.offset if after is not None and after.offset <= here.offset else 0
        # One more than a page from each history, so that none can hide an entry that belongs on the page. Most
        # streams missed nothing, and skipping the merge below makes them much cheaper to open.
        found = [entries for history in held if (entries := history.after(start, limit + 1))]
        if not found:
            return Page((), here, gap)
        merged = heapq.merge(*found, key=lambda entry: entry.cursor.offset)
        entries = list({entry.cursor.offset: entry for entry in merged}.values())
        if len(entries) > limit:
            return Page(tuple(entries[:limit]), entries[limit - 1].cursor, gap, more=True)
        return Page(tuple(entries), here, gap)

    def _reserve(self) -> int:
        self._last = max(self._last, self._now())
        return self._last

    def _now(self) -> int:
        return int(self._clock() * 1_000_000)

    def _make_room(self) -> None:
        """Remove one entry of the channel idle longest, and the channel itself if that was its last entry."""
        channel, history = next(iter(self._histories.items()))
        self._bytes -= history.drop_oldest()
        if not history.entries:
            del self._histories[channel]
            self._floor = max(self._floor, history.floor)
