"""The broker of a single task."""

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
    from sse_service.brokers.base import Listener
    from sse_service.model.events import Route
    from sse_service.telemetry.metrics import Metrics

MAX_CHANNELS = 100_000
"""Channels with a history. Beyond it the one idle longest is forgotten, and raises the floor of all channels.

A channel takes some 300 bytes beside its name and its entries: 30 MB at most."""

ORDER_SECONDS = 1
"""How exactly channels are ordered by idleness: one that had an event less than this ago keeps its place."""


class MemoryBroker:
    """A Broker that keeps everything in this process."""

    def __init__(
        self,
        *,
        listener: Listener,
        metrics: Metrics,
        history_events: int = 200,
        history_seconds: float = 3600,
        history_bytes: int = 64 * 1024 * 1024,
        dedupe_seconds: float = 900,
        clock: Callable[[], float] = time.time,
        max_channels: int = MAX_CHANNELS,
        max_dedupe_keys: int = MAX_DEDUPE_KEYS,
    ) -> None:
        """Keep ``history_events`` of each channel for ``history_seconds``, and ``history_bytes`` of all channels.

        ``clock`` returns seconds since 1970. It may jump; offsets never fall.
        """
        self._listener = listener
        self._metrics = metrics
        self._history_events = history_events
        self._age = history_seconds
        self._age_us = int(history_seconds * 1_000_000)
        self._max_bytes = history_bytes
        self._clock = clock
        self._max_channels = max_channels
        # No offset is at or below the beginning, even if the clock steps back later.
        began = self._now()
        self._epoch = new_epoch(began)
        # Highest offset given out, to an event or as a position.
        self._last = began
        # Everything at or below was handed to the listener. Behind the new events while the listener is being called.
        self._handed = began
        self._handing = False
        # Channel -> its history, the one idle longest first (to ORDER_SECONDS).
        self._histories: OrderedDict[str, History] = OrderedDict()
        # Highest last offset of any channel that was forgotten.
        self._floor = 0
        self._bytes = 0
        self._dedupe = DedupeWindow(window_us=int(dedupe_seconds * 1_000_000), max_keys=max_dedupe_keys)

    async def publish(self, routes: Sequence[Route]) -> None:
        """Store them all, then hand the new ones to the listener."""
        now = self._now()
        self._dedupe.expire(now)
        stored = [entry for route in routes if (entry := self._store(route, now)) is not None]
        if not stored:
            return
        while self._bytes > self._max_bytes or len(self._histories) > self._max_channels:
            self._make_room()
        self._metrics.events_stored.inc(len(stored))
        self._handing = True
        try:
            self._listener(stored)
            self._handed = self._last
        finally:
            self._handing = False

    def _store(self, route: Route, now: int) -> Entry | None:
        """Return the new entry; None for a duplicate."""
        event, channels = route.event, route.channels
        offset = self._last + 1 if self._last >= now else now
        if (same := self._dedupe.add(event, channels, offset)) is not None:
            count_duplicate(route, same=same, metrics=self._metrics)
            return None
        self._last = offset
        entry = Entry(Cursor(self._epoch, offset, digest(event.id)), event, channels, size(event))
        for channel in channels:
            history = self._histories.get(channel) or self._add_channel(channel)
            if offset - history.last >= ORDER_SECONDS * 1_000_000:
                self._histories.move_to_end(channel)
            self._bytes += history.append(entry)
        return entry

    def _add_channel(self, channel: str) -> History:
        history = self._histories[channel] = History(max_events=self._history_events, age_us=self._age_us)
        return history

    @property
    def trouble(self) -> str | None:
        """Always None: it depends on nothing outside this process."""
        return None

    async def check(self) -> None:
        """Do nothing: there is no store that could be unfit."""

    async def run(self) -> None:
        """Do nothing: there is no connection."""

    async def subscribe(self, channels: Sequence[str]) -> None:
        """Do nothing: the listener gets every event."""

    def unsubscribe(self, channel: str) -> None:
        """Do nothing: the listener gets every event."""

    async def position(self) -> Cursor:
        """Reserve the present."""
        return Cursor(self._epoch, self._reserve())

    def delivered(self) -> Cursor:
        """Reserve the present. While the listener is being called, return the position before its entries."""
        if not self._handing:
            self._handed = self._reserve()
        return Cursor(self._epoch, self._handed)

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
        # One more than the page from each: no history can hide an entry that belongs before the page's last. Most
        # streams missed nothing. Without the merge below, an opening is a good part cheaper for them.
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
        """Remove one entry of the channel idle longest, and the channel too if that was its last."""
        channel, history = next(iter(self._histories.items()))
        self._bytes -= history.drop_oldest()
        if not history.entries:
            del self._histories[channel]
            self._floor = max(self._floor, history.floor)
