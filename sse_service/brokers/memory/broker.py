"""The broker of a single task: history lives and dies with the process."""

from __future__ import annotations

import heapq
import time
from collections import OrderedDict
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from sse_service.brokers.base import Entry, Page
from sse_service.brokers.dedupe import MAX_DEDUPE_KEYS, DedupeWindow, count_duplicate
from sse_service.brokers.memory.history import History, size
from sse_service.model.cursor import Cursor, digest, judge, new_epoch
from sse_service.model.reasons import GapReason

if TYPE_CHECKING:
    from sse_service.brokers.base import Listener, PossibleLoss
    from sse_service.model.events import Route
    from sse_service.telemetry.metrics import Metrics

MAX_CHANNELS = 100_000
"""Channels with a history; past it the one that has been idle longest is forgotten and raises the global floor.

A channel takes some 300 bytes beside its name and its entries: 30 MB of them at most."""

ORDER_SECONDS = 1
"""For which a channel that has had an event is left where it is in the order of idleness."""


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
        """Keep at most ``history_events`` a channel, none longer than ``history_seconds``, in ``history_bytes`` in all.

        ``clock`` gives seconds since 1970; it may jump, offsets never fall.
        """
        self._listener = listener
        self._metrics = metrics
        self._history_events = history_events
        self._age = history_seconds
        self._age_us = int(history_seconds * 1_000_000)
        self._max_bytes = history_bytes
        self._clock = clock
        self._max_channels = max_channels
        # No offset is at or below the beginning, also when the clock steps back after it.
        began = self._now()
        self._epoch = new_epoch(began)
        # Highest offset given out, to an event or as a position.
        self._last = began
        # All at or below was handed to the listener; while some are being handed over, this is behind them.
        self._handed = began
        self._handing = False
        # Channel -> its history; the one that was appended to longest ago comes first, to ORDER_SECONDS.
        self._histories: OrderedDict[str, History] = OrderedDict()
        # Highest last offset of any channel that was forgotten.
        self._floor = 0
        self._bytes = 0
        self._seen = DedupeWindow(window_us=int(dedupe_seconds * 1_000_000), max_keys=max_dedupe_keys)

    async def publish(self, routes: Sequence[Route]) -> None:
        """Store them all, then hand to the listener what was new."""
        now = self._now()
        self._seen.expire(now)
        stored = [entry for route in routes if (entry := self._store(route, now)) is not None]
        if not stored:
            return
        while self._bytes > self._max_bytes or len(self._histories) > self._max_channels:
            self._forget_some()
        self._metrics.events_stored.inc(len(stored))
        self._handing = True
        try:
            self._listener(stored)
            self._handed = self._last
        finally:
            self._handing = False

    def _store(self, route: Route, now: int) -> Entry | None:
        """Give the entry; None where there was one before."""
        event, channels = route.event, route.channels
        offset = self._last + 1 if self._last >= now else now
        if (same := self._seen.add(event, channels, offset)) is not None:
            count_duplicate(route, same=same, metrics=self._metrics)
            return None
        self._last = offset
        entry = Entry(Cursor(self._epoch, offset, digest(event.id)), event, channels, size(event))
        for channel in channels:
            history = self._histories.get(channel) or self._remember(channel)
            if offset - history.last >= ORDER_SECONDS * 1_000_000:
                self._histories.move_to_end(channel)
            self._bytes += history.append(entry)
        return entry

    def _remember(self, channel: str) -> History:
        history = self._histories[channel] = History(max_events=self._history_events, age_us=self._age_us)
        return history

    @property
    def trouble(self) -> str | None:
        """Nothing: what it needs is this process."""
        return None

    async def check(self) -> None:
        """Nothing to do."""

    async def run(self) -> None:
        """Nothing to do."""

    async def subscribe(self, channels: Sequence[str]) -> None:
        """Nothing to do: every event reaches the listener of this process."""

    def unsubscribe(self, channel: str) -> None:
        """Nothing to do: every event reaches the listener of this process."""

    async def position(self) -> Cursor:
        """Reserve the present."""
        return Cursor(self._epoch, self._reserve())

    def delivered(self) -> Cursor:
        """Reserve the present; asked from within the listener, what came before the entries in its hands."""
        if not self._handing:
            self._handed = self._reserve()
        return Cursor(self._epoch, self._handed)

    async def replay(
        self, channels: Sequence[str], after: Cursor | None, limit: int, doubts: Sequence[PossibleLoss] = ()
    ) -> Page:
        """Merge the channels' histories by offset."""
        here = Cursor(self._epoch, self._reserve())
        held = [history for c in dict.fromkeys(channels) if (history := self._histories.get(c))]
        floor = self._floor
        for history in held:
            self._bytes -= history.expire(here.offset)
            floor = max(floor, history.floor)
        gap = judge(after, position=here, floor=floor, age_seconds=self._age)
        # A time that has not been yet is no believable one: all that is held follows.
        start = after.offset if after is not None and after.offset <= here.offset else 0
        if doubts:
            lost = [first for doubt in doubts if (first := self._first_in(doubt)) is not None]
            if lost and gap is None:
                gap, start = GapReason.LOST, min(lost) - 1
        # One more than the page from each: no history can hide an entry that belongs before the page's last. Most
        # streams have missed nothing, and what they are spared here is a good part of an opening.
        found = [entries for history in held if (entries := history.after(start, limit + 1))]
        if not found:
            return Page((), here, gap)
        merged = heapq.merge(*found, key=lambda entry: entry.cursor.offset)
        entries = list({entry.cursor.offset: entry for entry in merged}.values())
        if len(entries) > limit:
            return Page(tuple(entries[:limit]), entries[limit - 1].cursor, gap, more=True)
        return Page(tuple(entries), here, gap)

    def _first_in(self, doubt: PossibleLoss) -> int | None:
        """The offset at which something may have been missed; None where nothing was."""
        history = self._histories.get(doubt.channel)
        if doubt.after < max(self._floor, history.floor if history else 0):
            return doubt.after + 1
        for entry in history.after(doubt.after, 1) if history else []:
            if entry.cursor.offset <= doubt.upto:
                return entry.cursor.offset
        return None

    def _reserve(self) -> int:
        self._last = max(self._last, self._now())
        return self._last

    def _now(self) -> int:
        return int(self._clock() * 1_000_000)

    def _forget_some(self) -> None:
        """Take one entry from the channel that has been idle longest, and the channel with its last."""
        channel, history = next(iter(self._histories.items()))
        self._bytes -= history.drop_oldest()
        if not history.entries:
            del self._histories[channel]
            self._floor = max(self._floor, history.floor)
