"""The broker of a single task: history lives and dies with the process."""

from __future__ import annotations

import heapq
import secrets
import time
from collections import OrderedDict
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from sse_service.brokers.base import Entry, Page
from sse_service.brokers.history import History, size
from sse_service.cursor import Cursor, digest, judge

if TYPE_CHECKING:
    from sse_service.brokers.base import Listener
    from sse_service.events import Route

MAX_CHANNELS = 100_000
"""Channels with a history; past it the one that has been idle longest is forgotten and raises the global floor."""

MAX_DEDUPE_KEYS = 1_000_000
"""Event ids remembered; past it the oldest is forgotten before its time."""


class MemoryBroker:
    """A Broker that keeps everything in this process."""

    def __init__(
        self,
        *,
        listener: Listener,
        history_events: int = 200,
        history_seconds: float = 3600,
        history_bytes: int = 64 * 1024 * 1024,
        dedupe_seconds: float = 900,
        clock: Callable[[], float] = time.time,
        max_channels: int = MAX_CHANNELS,
    ) -> None:
        self._listener = listener
        self._history_events = history_events
        self._age = history_seconds
        self._max_bytes = history_bytes
        self._dedupe_us = int(dedupe_seconds * 1_000_000)
        self._clock = clock
        self._max_channels = max_channels
        self._epoch = secrets.token_hex(8)
        self._last = 0
        # Channel -> its history; the one that was appended to longest ago comes first.
        self._histories: OrderedDict[str, History] = OrderedDict()
        # Highest last offset of any channel that was forgotten.
        self._floor = 0
        self._bytes = 0
        # Event id with its channels -> offset, oldest first.
        self._seen: OrderedDict[tuple[str, frozenset[str]], int] = OrderedDict()

    async def publish(self, routes: Sequence[Route]) -> None:
        """Store, then hand to the listener, each Route in turn."""
        for route in routes:
            offset = max(self._last + 1, self._now())
            if self._is_duplicate(route, offset):
                continue
            self._last = offset
            entry = Entry(Cursor(self._epoch, offset, digest(route.event.id)), route.event, route.channels)
            for channel in route.channels:
                self._append(channel, entry)
            self._listener(entry)

    async def subscribe(self, channel: str) -> None:
        """Nothing to do: every event reaches the listener of this process."""

    def unsubscribe(self, channel: str) -> None:
        """Nothing to do: every event reaches the listener of this process."""

    async def position(self) -> Cursor:
        """Reserve the present."""
        self._last = max(self._last, self._now())
        return Cursor(self._epoch, self._last)

    async def replay(self, channels: Sequence[str], after: Cursor | None, limit: int) -> Page:
        """Merge the channels' histories by offset."""
        here = await self.position()
        held = [self._histories[c] for c in dict.fromkeys(channels) if c in self._histories]
        for history in held:
            self._bytes -= history.expire(here.offset)
        floor = max([self._floor, *(history.floor for history in held)])
        gap = judge(after, position=here, floor=floor, age_seconds=self._age)
        # A time that has not been yet is no believable one: all that is held follows.
        start = after.offset if after is not None and after.offset <= here.offset else 0
        merged = heapq.merge(*(h.after(start, limit + 1) for h in held), key=lambda e: e.cursor.offset)
        entries = list({entry.cursor.offset: entry for entry in merged}.values())
        if len(entries) > limit:
            return Page(tuple(entries[:limit]), entries[limit - 1].cursor, gap)
        return Page(tuple(entries), here, gap)

    def _now(self) -> int:
        return int(self._clock() * 1_000_000)

    def _is_duplicate(self, route: Route, offset: int) -> bool:
        while self._seen:
            oldest = next(iter(self._seen.values()))
            if oldest + self._dedupe_us >= offset and len(self._seen) < MAX_DEDUPE_KEYS:
                break
            self._seen.popitem(last=False)
        key = (route.event.id, frozenset(route.channels))
        if key in self._seen:
            return True
        self._seen[key] = offset
        return False

    def _append(self, channel: str, entry: Entry) -> None:
        history = self._histories.get(channel)
        if history is None:
            history = History(max_events=self._history_events, age_us=int(self._age * 1_000_000))
            self._histories[channel] = history
        self._histories.move_to_end(channel)
        self._bytes += size(entry) - history.append(entry)
        while self._bytes > self._max_bytes or len(self._histories) > self._max_channels:
            self._forget_some()

    def _forget_some(self) -> None:
        """Take one entry from the channel that has been idle longest, and the channel with its last."""
        channel, history = next(iter(self._histories.items()))
        self._bytes -= history.drop_oldest()
        if not history.entries:
            del self._histories[channel]
            self._floor = max(self._floor, history.floor)
