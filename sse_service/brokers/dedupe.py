"""Recognises an event that comes again."""

from __future__ import annotations

import hashlib
import logging
from collections import deque
from typing import TYPE_CHECKING

import orjson

if TYPE_CHECKING:
    from sse_service.model.events import Event, Route
    from sse_service.telemetry.metrics import Metrics

MAX_DEDUPE_KEYS = 1_000_000
"""Events remembered; past it the oldest is forgotten before its time, which takes 1,100 events a second over 900 s.

Each takes 150 to 200 bytes whatever its id's length: 200 MB at most, 20 MB at 110 events a second."""

_log = logging.getLogger(__name__)


class DedupeWindow:
    """The events of the dedupe window, as hashes, so that long ids and many channels take no more room.

    They are Python's own, of 64 bits, with a secret of this process (SipHash) unless ``PYTHONHASHSEED`` is set: nobody
    can make two events that look alike, and among a million of them a new one is taken for another once in 10^13 times.
    """

    def __init__(self, *, window_us: int, max_keys: int) -> None:
        self._window_us = window_us
        self._max_keys = max_keys
        # Hash of id and channels -> hash of type and data.
        self._contents: dict[int, int] = {}
        # The same keys, oldest first, and their offsets: a dict that loses its first key again and again grows slow to
        # find it.
        self._keys: deque[int] = deque()
        self._offsets: deque[int] = deque()

    def expire(self, now: int) -> None:
        """Forget what was added longer ago than the window."""
        oldest = now - self._window_us
        while self._offsets and self._offsets[0] < oldest:
            self._forget_oldest()

    def add(self, event: Event, channels: tuple[str, ...], offset: int) -> bool | None:
        """Remember a new event and return None; for one seen before, whether its type and data are the same."""
        key = hash((event.id, channels if len(channels) == 1 else frozenset(channels)))
        content = hash((event.type, event.data))
        known = len(self._contents)
        first = self._contents.setdefault(key, content)
        if len(self._contents) == known:
            return first == content
        self._keys.append(key)
        self._offsets.append(offset)
        if known == self._max_keys:
            self._forget_oldest()
        return None

    def _forget_oldest(self) -> None:
        self._offsets.popleft()
        del self._contents[self._keys.popleft()]


def dedupe_key(route: Route) -> bytes:
    """By which an event is known again: its id together with its channels, whatever their order."""
    return _digest(route.event.id, *sorted(set(route.channels)), size=16)


def content_digest(route: Route) -> bytes:
    """By which an event that comes again under a used id is told from the first."""
    return _digest(route.event.type, route.event.data, size=8)


def count_duplicate(route: Route, *, same: bool, metrics: Metrics) -> None:
    """Count an event that came again, and warn of a producer that uses an id for several."""
    metrics.duplicates.labels("same" if same else "differing").inc()
    if not same:
        _log.warning("event %s came again with other data or type, and was not delivered again", route.event.id)


def _digest(*parts: str | None, size: int) -> bytes:
    """As JSON, which keeps parts apart whatever stands in them."""
    return hashlib.blake2b(orjson.dumps(parts), digest_size=size).digest()
