"""Who in this process listens to which channel, and the delivery to them."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from datetime import datetime
from typing import TYPE_CHECKING, Protocol

from sse_service.streams.frame import frame

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from sse_service.brokers.base import Entry
    from sse_service.streams.frame import Frame
    from sse_service.telemetry.metrics import Metrics


class Subscriber(Protocol):
    """What the Hub delivers to. No method waits or raises."""

    def offer(self, frame: Frame, /, *, later: bool = False) -> bool:
        """Take one Frame. With ``later`` it may be kept until ``flush``; True: it was, and ``flush`` must be called."""
        ...

    def flush(self) -> None:
        """Write what was kept."""
        ...

    def fall_behind(self, complete: Mapping[str, int], /) -> None:
        """Read again from History. ``complete`` gives each channel's offset up to which everything was offered."""
        ...


FEW = 8
"""Up to this number, the subscribers of a channel are a tuple, which is copied at each join and leave.

A tuple is smaller than a dict and is iterated as it is. Most channels are a user's, with that user's few pages.
"""

AT_ONCE = 400
"""Subscribers that an event is written to at once. A larger crowd's other members are written to in slices."""

SLICE_SECONDS = 0.005
"""How long a crowd may hold up the event loop: nobody else's event waits longer for it."""

CHECK_EVERY = 32
"""Writes between two looks at the clock."""


class Hub:
    """Delivers each entry to the subscribers of its channels, to each of them once."""

    def __init__(self, *, metrics: Metrics) -> None:
        self._metrics = metrics
        # Subscribers that have a Frame to write, in the order in which they were offered it.
        self._unwritten: deque[Subscriber] = deque()
        # Channel -> its subscribers, in order of joining: a tuple of a few, or a dict.
        self._members: dict[str, tuple[Subscriber, ...] | dict[Subscriber, None]] = {}

    def join(self, subscriber: Subscriber, channels: Sequence[str]) -> None:
        """Register a subscriber. Idempotent."""
        for channel in channels:
            members = self._members.get(channel, ())
            if isinstance(members, dict):
                members[subscriber] = None
            elif subscriber not in members:
                joined = (*members, subscriber)
                self._members[channel] = joined if len(joined) <= FEW else dict.fromkeys(joined)

    def leave(self, subscriber: Subscriber, channels: Sequence[str]) -> list[str]:
        """Undo ``join``, and give the channels that have no subscriber any more. Idempotent."""
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

    def dispatch(self, entries: Sequence[Entry]) -> None:
        """Offer each entry to its subscribers, in order. One who joined two of its channels gets it once.

        A subscriber may leave, and another join, while it is being offered to.
        """
        delivered = 0
        for entry in entries:
            subscribers = self._subscribers(entry.channels)
            if not subscribers:
                continue
            made = frame(entry.event, entry.cursor)
            for subscriber in subscribers if len(subscribers) <= AT_ONCE else subscribers[:AT_ONCE]:
                subscriber.offer(made)
            if len(subscribers) > AT_ONCE:
                self._spread(subscribers[AT_ONCE:], made)
            delivered += len(subscribers)
            published = entry.event.time
            if published is not None and (age := _age_seconds(published)) is not None:
                self._metrics.publish_to_write_seconds.observe(age)
        self._metrics.events_delivered.inc(delivered)

    def lost(self, complete: Mapping[str, int]) -> None:
        """Let the subscribers of these channels read from History: events after these offsets may be lost."""
        for subscriber in dict.fromkeys(s for channel in complete for s in self._members.get(channel, ())):
            subscriber.fall_behind(complete)

    def _subscribers(self, channels: Sequence[str]) -> tuple[Subscriber, ...]:
        if len(channels) == 1:
            return tuple(self._members.get(channels[0], ()))
        return tuple(dict.fromkeys(s for channel in channels for s in self._members.get(channel, ())))

    def _spread(self, crowd: Sequence[Subscriber], frame: Frame) -> None:
        """Offer now, which keeps the order; write in slices, so that nobody else waits for the crowd."""
        idle = not self._unwritten
        self._unwritten.extend(subscriber for subscriber in crowd if subscriber.offer(frame, later=True))
        if idle and self._unwritten:
            loop = asyncio.get_running_loop()
            loop.call_soon(self._write_some, loop)

    def _write_some(self, loop: asyncio.AbstractEventLoop) -> None:
        until = time.perf_counter() + SLICE_SECONDS
        while self._unwritten and time.perf_counter() < until:
            for _ in range(min(CHECK_EVERY, len(self._unwritten))):
                self._unwritten.popleft().flush()
        if self._unwritten:
            loop.call_soon(self._write_some, loop)


def _age_seconds(published: str) -> float | None:
    """Seconds since an RFC 3339 time; None where it is no time."""
    if not published.isascii():
        return None
    try:
        return max(time.time() - datetime.fromisoformat(published).timestamp(), 0)
    except ValueError:
        return None
