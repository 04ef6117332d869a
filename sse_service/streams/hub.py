"""The registry of subscribers by channel, and the delivery of events to them within this process."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from datetime import datetime
from typing import TYPE_CHECKING, Protocol

from sse_service.streams.frame import make_frame

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from sse_service.brokers.base import Entry
    from sse_service.streams.frame import Frame
    from sse_service.telemetry.metrics import Metrics


class Subscriber(Protocol):
    """What the Hub delivers to. Methods never wait and never raise."""

    def offer(self, frame: Frame, /, *, later: bool = False) -> bool:
        """Take one Frame. With ``later``, it may be kept until ``flush``; True means that it was kept."""
        ...

    def prepare(self, frame: Frame, /) -> None:
        """Encode a Frame that will be offered next. One that was not prepared is encoded when it is written."""
        ...

    def flush(self) -> None:
        """Write the Frame that ``offer`` kept. Must be called after ``offer`` returned True."""
        ...

    def fall_behind(self, complete: Mapping[str, int], /) -> None:
        """Go on from History. ``complete`` maps each channel to the offset up to which all its events were offered."""
        ...


MAX_TUPLE_SIZE = 8
"""Up to this number of subscribers, a channel keeps them in a tuple, which is copied on each join and leave.

A tuple is smaller than a dict and needs no copy for a delivery. Most channels belong to one user with a few open pages.
"""

IMMEDIATE_WRITES = 400
"""How many subscribers an event is written to immediately. The rest of a larger crowd is written to in slices."""

SLICE_SECONDS = 0.005
"""How long a crowd may block the event loop: the longest that other events wait for it."""

WRITES_PER_CLOCK_CHECK = 32
"""Writes between two checks of the clock."""


class Hub:
    """Delivers each entry once to every subscriber of its channels."""

    def __init__(self, *, metrics: Metrics, clock: Callable[[], float] = time.monotonic) -> None:
        """``clock`` is the timer's."""
        self._metrics = metrics
        self._clock = clock
        # Subscribers with a Frame to write, in the order in which the Frames were offered.
        self._unwritten: deque[Subscriber] = deque()
        # Channel -> its subscribers in order of joining: a tuple if they are few, else the keys of a dict.
        self._members: dict[str, tuple[Subscriber, ...] | dict[Subscriber, None]] = {}

    def join(self, subscriber: Subscriber, channels: Sequence[str]) -> None:
        """Register a subscriber. Idempotent."""
        for channel in channels:
            members = self._members.get(channel, ())
            if isinstance(members, dict):
                members[subscriber] = None
            elif subscriber not in members:
                joined = (*members, subscriber)
                self._members[channel] = joined if len(joined) <= MAX_TUPLE_SIZE else dict.fromkeys(joined)

    def leave(self, subscriber: Subscriber, channels: Sequence[str]) -> list[str]:
        """Undo ``join``. Returns the channels that have no subscribers left. Idempotent."""
        empty = []
        for channel in channels:
            members = self._members.get(channel, ())
            if subscriber not in members:
                continue
            if isinstance(members, dict):
                del members[subscriber]
            else:
                members = self._members[channel] = tuple(other for other in members if other is not subscriber)
            if not members:
                del self._members[channel]
                empty.append(channel)
        return empty

    def count(self, channels: Sequence[str]) -> int:
        """Return how many subscribers an entry with these channels has now."""
        return len(self._subscribers(channels))

    def dispatch(self, entries: Sequence[Entry]) -> None:
        """Offer each entry to its subscribers, in order. A subscriber of several of its channels gets it once.

        Subscribers may join and leave while this runs.
        """
        # Everything is encoded before the first write: a write through the kernel evicts Python's data from the caches.
        frames, now = [], self._clock()
        for entry in entries:
            if subscribers := self._subscribers(entry.channels):
                frame = make_frame(entry.event, entry.cursor, at=now)
                subscribers[0].prepare(frame)
                frames.append((frame, subscribers, entry.event.time))
        delivered = 0
        for frame, subscribers, published in frames:
            for subscriber in subscribers if len(subscribers) <= IMMEDIATE_WRITES else subscribers[:IMMEDIATE_WRITES]:
                subscriber.offer(frame)
            if len(subscribers) > IMMEDIATE_WRITES:
                self._offer_to_crowd(subscribers[IMMEDIATE_WRITES:], frame)
            delivered += len(subscribers)
            if published is not None and (age := _age_seconds(published)) is not None:
                self._metrics.publish_to_write_seconds.observe(age)
        self._metrics.events_delivered.inc(delivered)

    def lost(self, complete: Mapping[str, int]) -> None:
        """Send the subscribers of these channels to History: events after these offsets may be lost."""
        for subscriber in dict.fromkeys(s for channel in complete for s in self._members.get(channel, ())):
            subscriber.fall_behind(complete)

    def _subscribers(self, channels: Sequence[str]) -> tuple[Subscriber, ...]:
        if len(channels) == 1:
            return tuple(self._members.get(channels[0], ()))
        return tuple(dict.fromkeys(s for channel in channels for s in self._members.get(channel, ())))

    def _offer_to_crowd(self, crowd: Sequence[Subscriber], frame: Frame) -> None:
        """Offer the Frame now, which keeps the order, and write it in slices, so that no other event waits for long."""
        idle = not self._unwritten
        self._unwritten.extend(subscriber for subscriber in crowd if subscriber.offer(frame, later=True))
        if idle and self._unwritten:
            loop = asyncio.get_running_loop()
            loop.call_soon(self._write_slice, loop)

    def _write_slice(self, loop: asyncio.AbstractEventLoop) -> None:
        until = time.perf_counter() + SLICE_SECONDS
        while self._unwritten and time.perf_counter() < until:
            for _ in range(min(WRITES_PER_CLOCK_CHECK, len(self._unwritten))):
                self._unwritten.popleft().flush()
        if self._unwritten:
            loop.call_soon(self._write_slice, loop)


def _age_seconds(published: str) -> float | None:
    """Seconds since an RFC 3339 time; None if the text is not one."""
    if not published.isascii():
        return None
    try:
        return max(time.time() - datetime.fromisoformat(published).timestamp(), 0)
    except ValueError:
        return None
