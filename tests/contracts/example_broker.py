"""A complete broker in one file, as simple as possible. It was written from ``brokers/base.py`` alone.

Its store is an object in this process. Brokers with the same store stand for tasks that share it.
"""

from __future__ import annotations

import asyncio
from collections import Counter, deque
from collections.abc import Callable, Sequence

from sse_service.brokers.base import Entry, Listener, OnRevoked, Page, Revocations
from sse_service.brokers.dedupe import MAX_DEDUPE_KEYS, count_duplicate
from sse_service.model.cursor import Cursor, digest, find_gap, new_epoch
from sse_service.model.errors import Unavailable
from sse_service.model.events import Route
from sse_service.model.revocations import Revocation, RevocationTable
from sse_service.telemetry.metrics import Metrics

ENTRY_BYTES = 512


class Store:
    """Stands for a server. Its methods are atomic."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self.last = int(clock() * 1_000_000)
        self.epoch = new_epoch(self.last)
        self.entries: list[Entry] = []  # of all channels, oldest first
        self.floor = 0  # of all channels
        self.dedupe: dict[tuple[str, frozenset[str]], tuple[int, tuple[str | None, str]]] = {}
        self.revocations = RevocationTable(clock=clock)
        self.connected: list[ExampleBroker] = []

    def reserve(self) -> Cursor:
        self.last = max(self.last, int(self._clock() * 1_000_000))
        return Cursor(self.epoch, self.last)

    def add(self, route: Route, window_us: int) -> bool | None:
        """Store a new event and return None. For a duplicate, return whether its content is the same."""
        offset = max(self.last + 1, self.reserve().offset)
        event, key = route.event, (route.event.id, frozenset(route.channels))
        at, content = self.dedupe.get(key, (0, ()))
        if at >= offset - window_us:
            return content == (event.type, event.data)
        self.dedupe.pop(key, None)
        self.dedupe[key] = offset, (event.type, event.data)
        if len(self.dedupe) > MAX_DEDUPE_KEYS:
            del self.dedupe[next(iter(self.dedupe))]
        self.last = offset
        entry = Entry(Cursor(self.epoch, offset, digest(event.id)), event, route.channels)
        self.entries.append(entry)
        for broker in self.connected:
            broker.receive(entry)
        return None

    def revoke(self, revocations: Sequence[Revocation]) -> None:
        self.revocations.merge(revocations)
        self.revocations.expire()
        for broker in self.connected:
            broker.learn(self.revocations.entries())

    def lose_revocations(self) -> None:
        """Stands for a restart without data, after which every task connects again."""
        self.revocations = RevocationTable(clock=self._clock)
        for broker in self.connected:
            broker.give_back()

    def trim(self, max_events: int, max_bytes: int, age_us: int) -> None:
        """Remove entries that are too old, beyond the bytes, or not among the newest of any of their channels."""
        kept, count, size = [], Counter[str](), 0
        for entry in reversed(self.entries):
            count.update(entry.channels)
            size += ENTRY_BYTES + len(entry.event.data.encode())
            young = entry.cursor.offset >= self.last - age_us
            if young and size <= max_bytes and any(count[channel] <= max_events for channel in entry.channels):
                kept.append(entry)
            else:
                self.floor = max(self.floor, entry.cursor.offset)
        self.entries = kept[::-1]


class ExampleBroker:
    """Implements every method of the contract."""

    def __init__(
        self,
        *,
        store: Store,
        listener: Listener,
        revocations: Revocations,
        on_revoked: OnRevoked,
        metrics: Metrics,
        history_events: int = 200,
        history_seconds: float = 3600,
        history_bytes: int = 64 * 1024 * 1024,
        dedupe_seconds: float = 900,
    ) -> None:
        self._store = store
        self._listener = listener
        self._revocations = revocations
        self._on_revoked = on_revoked
        self._metrics = metrics
        self._age = history_seconds
        self._limits = history_events, history_bytes, int(history_seconds * 1_000_000)
        self._window_us = int(dedupe_seconds * 1_000_000)
        self._received: deque[Entry] = deque()
        self._arrived = asyncio.Event()
        self._delivered = store.reserve()
        self.trouble: str | None = "not connected yet"

    async def check(self) -> None: ...

    async def run(self) -> None:
        self._store.connected.append(self)
        self.give_back()
        self.trouble = None
        try:
            while await self._arrived.wait():
                self._arrived.clear()
                while self._received:
                    self._listener([self._received[0]])
                    self._delivered = self._received.popleft().cursor
        finally:
            self._store.connected.remove(self)
            self.trouble = "the connection ended"

    def receive(self, entry: Entry) -> None:
        self._received.append(entry)
        self._arrived.set()

    async def publish(self, routes: Sequence[Route]) -> None:
        self._need_store()
        for route in routes:
            if (same := self._store.add(route, self._window_us)) is None:
                self._metrics.events_stored.inc()
            else:
                count_duplicate(route, same=same, metrics=self._metrics)
        self._store.trim(*self._limits)

    async def revoke(self, revocations: Sequence[Revocation]) -> None:
        self.learn(revocations)
        self._need_store()
        self._store.revoke(revocations)

    def learn(self, revocations: Sequence[Revocation]) -> None:
        self._revocations.expire()
        if changed := self._revocations.merge(revocations):
            self._on_revoked(changed)

    def give_back(self) -> None:
        """Store what this task knows, which the store may have lost or never had."""
        self._store.revoke(self._revocations.entries())

    async def subscribe(self, channels: Sequence[str]) -> None:
        self._need_store()

    def unsubscribe(self, channel: str) -> None: ...

    async def replay(self, channels: Sequence[str], after: Cursor | None, limit: int) -> Page:
        here = await self.position()
        self._store.trim(*self._limits)
        gap = find_gap(after, position=here, floor=self._store.floor, age_seconds=self._age)
        start = after.offset if after is not None and after.offset <= here.offset else 0
        wanted = set(channels)
        found = [e for e in self._store.entries if e.cursor.offset > start and wanted.intersection(e.channels)]
        if len(found) > limit:
            return Page(tuple(found[:limit]), found[limit - 1].cursor, gap, more=True)
        return Page(tuple(found), here, gap)

    async def position(self) -> Cursor:
        self._need_store()
        return self._store.reserve()

    def delivered(self) -> Cursor:
        if not self._received:
            self._delivered = self._store.reserve()
        return self._delivered

    def _need_store(self) -> None:
        if self.trouble:
            raise Unavailable(self.trouble)
