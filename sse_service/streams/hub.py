"""This task's registry of who listens to which channel."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from datetime import datetime
from typing import TYPE_CHECKING, Protocol

from sse_service.protocols.sse import frames

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from sse_service.brokers.base import Entry
    from sse_service.protocols.sse.frames import Frame
    from sse_service.telemetry.metrics import Metrics


class Subscriber(Protocol):
    """What the Hub delivers to."""

    def offer(self, frame: Frame, /, *, later: bool = False) -> bool:
        """Take one Frame; never waits, raises nothing. With ``later`` it may be written when ``flush`` is called.

        True: ``flush`` must be called.
        """
        ...

    def flush(self) -> None:
        """Write what was offered for later; never waits, raises nothing."""
        ...

    def fall_behind(self, complete: Mapping[str, int], /) -> None:
        """Read again from History what may not have been offered; never waits, raises nothing.

        With each channel stands the offset up to which all of it was.
        """
        ...


FEW = 8
"""Subscribers of one channel that are copied at each join or leave, to save what a dict takes."""

AT_ONCE = 400
"""Subscribers that an event is written to as it comes; all others of a larger crowd are written to in slices."""

SLICE_SECONDS = 0.005
"""For which the event loop is held up by a crowd: another user's event waits no longer for it."""

CHECK_EVERY = 32
"""Writes between two looks at the clock."""


class Hub:
    """Delivers each entry to the subscribers of its channels, each once."""

    def __init__(self, *, metrics: Metrics) -> None:
        self._metrics = metrics
        # Those that have something to be written, in order of being offered it.
        self._unwritten: deque[Subscriber] = deque()
        # Channel -> its subscribers, in order of joining: few in a tuple, which is small and read as it is, as of a
        # user's own pages; many in a dict.
        self._members: dict[str, tuple[Subscriber, ...] | dict[Subscriber, None]] = {}

    def join(self, subscriber: Subscriber, channels: Sequence[str]) -> list[str]:
        """Register, and return the channels that had no subscriber before: the broker must be told of them."""
        new = [channel for channel in channels if channel not in self._members]
        for channel in channels:
            members = self._members.get(channel, ())
            if isinstance(members, dict):
                members[subscriber] = None
            elif subscriber not in members:
                joined = (*members, subscriber)
                self._members[channel] = joined if len(joined) <= FEW else dict.fromkeys(joined)
        return new

    def leave(self, subscriber: Subscriber, channels: Sequence[str]) -> list[str]:
        """Undo ``join``, and return the channels that have no subscriber any more. Idempotent."""
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
        """Offer each entry to everyone it is for; one who joined two of its channels gets it once.

        A subscriber may leave, or another join, while it is being offered to. All are encoded before the first is
        written: the kernel's way through a write takes from the processor's caches what Python had there.
        """
        encoded, delivered = [], 0
        for entry in entries:
            if everyone := self._everyone(entry.channels):
                encoded.append((frames.frame(entry.event, entry.cursor), everyone, entry.event.time))
        for frame, everyone, published in encoded:
            for subscriber in everyone if len(everyone) <= AT_ONCE else everyone[:AT_ONCE]:
                subscriber.offer(frame)
            if len(everyone) > AT_ONCE:
                self._spread(everyone[AT_ONCE:], frame)
            delivered += len(everyone)
            if published is not None and (age := _age_seconds(published)) is not None:
                self._metrics.publish_to_write_seconds.observe(age)
        self._metrics.events_delivered.inc(delivered)

    def _everyone(self, channels: Sequence[str]) -> tuple[Subscriber, ...]:
        if len(channels) == 1:
            return tuple(self._members.get(channels[0], ()))
        return tuple(dict.fromkeys(s for channel in channels for s in self._members.get(channel, ())))

    def _spread(self, crowd: Sequence[Subscriber], frame: Frame) -> None:
        """Offer now, that the order holds; write in slices, that others are not held up."""
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

    def lost(self, complete: Mapping[str, int]) -> None:
        """Let the subscribers of channels read from History: after these offsets something may not have come."""
        for subscriber in dict.fromkeys(s for channel in complete for s in self._members.get(channel, ())):
            subscriber.fall_behind(complete)

    def __len__(self) -> int:
        """How many subscribers there are."""
        return len({subscriber for members in self._members.values() for subscriber in members})


def _age_seconds(published: str) -> float | None:
    """Seconds since an RFC 3339 time; None where it is no time."""
    if not published.isascii():
        return None
    try:
        return max(time.time() - datetime.fromisoformat(published).timestamp(), 0)
    except ValueError:
        return None
