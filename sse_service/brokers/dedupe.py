"""Recognises duplicates: events that were published before."""

from __future__ import annotations

import logging
from collections import deque
from hashlib import blake2b
from typing import TYPE_CHECKING

import orjson

if TYPE_CHECKING:
    from sse_service.model.events import Event, Route
    from sse_service.telemetry.metrics import Metrics

MAX_DEDUPE_KEYS = 1_000_000
"""How many events are remembered. At the limit, reached with 1,100 events a second over 900 s, the oldest is forgotten.

Each takes 150 to 200 bytes, whatever the length of its id: 200 MB at most, 20 MB at 110 events a second."""

# Copying a hash takes half as long as making one.
_EMPTY_KEY, _EMPTY_CONTENT = blake2b(digest_size=16), blake2b(digest_size=8)

_log = logging.getLogger(__name__)


class DedupeWindow:
    """The events of the dedupe window, kept in this process as hashes. Long ids and many channels take no more memory.

    The hashes are Python's own: 64 bits, keyed with a secret of this process (SipHash) unless ``PYTHONHASHSEED`` is
    set. So nobody can craft two events with the same hash. With a million events remembered, a new event is taken for
    a duplicate once in 10^13 times.
    """

    def __init__(self, *, window_us: int, max_keys: int) -> None:
        self._window_us = window_us
        self._max_keys = max_keys
        # Hash of id and channels -> hash of type and data.
        self._contents: dict[int, int] = {}
        # The same keys, oldest first, and their offsets. Finding the first key of a dict is slow after many deletions.
        self._keys: deque[int] = deque()
        self._offsets: deque[int] = deque()

    def expire(self, now: int) -> None:
        """Forget events older than the window."""
        oldest = now - self._window_us
        while self._offsets and self._offsets[0] < oldest:
            self._forget_oldest()

    def add(self, event: Event, channels: tuple[str, ...], offset: int) -> bool | None:
        """Remember a new event and return None. For a duplicate, return whether its type and data are the same."""
        key = hash((event.id, channels if len(channels) == 1 else frozenset(channels)))
        content = hash((event.type, event.data))
        count = len(self._contents)
        first = self._contents.setdefault(key, content)
        if len(self._contents) == count:
            return first == content
        self._keys.append(key)
        self._offsets.append(offset)
        if count == self._max_keys:
            self._forget_oldest()
        return None

    def _forget_oldest(self) -> None:
        self._offsets.popleft()
        del self._contents[self._keys.popleft()]


def dedupe_key(route: Route) -> bytes:
    """Return the key that identifies an event: a hash of its id and its channels, in any order."""
    channels = route.channels
    return _digest(_EMPTY_KEY, route.event.id, *(channels if len(channels) == 1 else sorted(set(channels))))


def content_digest(route: Route) -> bytes:
    """Return a hash of type and data. It tells a true duplicate from another event with a reused id."""
    return _digest(_EMPTY_CONTENT, route.event.type, route.event.data)


def count_duplicate(route: Route, *, same: bool, metrics: Metrics) -> None:
    """Count a duplicate, and log a warning if its content differs."""
    metrics.duplicates.labels("same" if same else "differing").inc()
    if not same:
        _log.warning(
            "event %s came again with other data or another type, and was not delivered: "
            "the producer must give each event its own id",
            route.event.id,
        )


def _digest(empty: blake2b, *parts: str | None) -> bytes:
    """Hash the parts as JSON, which keeps them apart whatever they contain."""
    hash_ = empty.copy()
    hash_.update(orjson.dumps(parts))
    return hash_.digest()
