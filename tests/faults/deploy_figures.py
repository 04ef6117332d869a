"""The figures of a rolling deploy, and the guarantees that it broke."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from typing import Literal

from tests.faults.checker import Published, Violation, check, event_id, position
from tests.faults.eventsource import EventSource

Order = Literal["sigterm", "deregister"]
"""What ends the streams of a task that is replaced: its own drain on SIGTERM, or the balancer before SIGTERM."""

CLIFF = 4
"""In one second, this multiple of the even share may leave or return. On a busy machine, late streams bunch up."""

CHANCE = 10
"""This number of additional streams is allowed too, because the even share may be small."""

SHARD = 20
"""How many pages are checked together. The checker compares each of them with each event."""


@dataclass(frozen=True, slots=True)
class Replaced:
    """One old task, or several at the same time; times are monotonic seconds."""

    tasks: int
    deregistered: float
    """When the balancer began to lead new connections elsewhere."""
    cut: float | None
    """When the balancer cut the remaining streams, if it did."""
    told: float
    """When it got SIGTERM."""
    ended: float
    status: int
    late: bool
    """Whether the balancer stopped using it only after SIGTERM."""
    in_time: bool

    @property
    def begun(self) -> float:
        """When its streams began to end."""
        return self.told if self.cut is None else self.cut


@dataclass(frozen=True, slots=True)
class Drain:
    """How the streams of one old task ended."""

    streams: int
    even: float
    """Streams a second if they end evenly over the whole drain."""
    greatest: int
    """The most streams that ended within one second."""
    ahead: float
    """How many streams ended earlier than an even spread allows."""


@dataclass(frozen=True)
class Figures:
    pages: Sequence[EventSource]
    published: Mapping[str, Published]
    acknowledged: set[str]
    dead: Sequence[str]
    replaced: Sequence[Replaced]
    outputs: Sequence[str]
    """The output of each task."""
    failed: int
    """How often a task refused a connection of the balancer."""
    begun: float
    """When events began to flow, in monotonic seconds."""
    drain: int
    """``SSE_DRAIN_SECONDS``."""
    order: Order
    delay: float
    """The deregistration delay, in seconds."""

    @cached_property
    def reconnects(self) -> list[float]:
        """The time of each reconnect, in monotonic seconds."""
        return sorted(at for page in self.pages for at in page.begun[1:])

    @cached_property
    def drains(self) -> list[Drain]:
        """How the streams of each old task ended."""
        ends = sorted(at for page in self.pages for at in page.ended)
        limits = [*(old.begun for old in self.replaced), math.inf]
        found = []
        for told, upto in pairwise(limits):
            own = [at for at in ends if told <= at < upto]
            even = len(own) / self.drain
            ahead = max((number - (at - told) * even for number, at in enumerate(own)), default=0.0)
            found.append(Drain(len(own), even, greatest(own), ahead))
        return found

    @property
    def most(self) -> int:
        """The most reconnects within one second."""
        return greatest(self.reconnects)

    @cached_property
    def away(self) -> list[float]:
        """The sorted seconds that pages were without a stream."""
        return sorted(seconds for page in self.pages for seconds in page.away)

    @property
    def during(self) -> tuple[float, float]:
        """From the first task's deregistration or SIGTERM until the last one has ended."""
        return min(self.replaced[0].deregistered, self.replaced[0].told), self.replaced[-1].ended

    @property
    def turned_away(self) -> int:
        """Requests that a draining task answered with a delay."""
        return sum(page.turned_away for page in self.pages)

    def delays(self, after: float, upto: float, *, live: bool = False, broadcast: bool = False) -> list[float]:
        """Return the sorted seconds from publishing to each delivery, either of broadcasts or of all other events.

        ``live`` counts only events that were published while the page had the stream that delivered them.
        """
        found = []
        for page in self.pages:
            opened = 0.0
            for block in page.seen:
                if block.type == "stream.ready":
                    opened = block.at
                elif not block.type.startswith("stream."):
                    known = self.published.get(event_id(block))
                    if known is None or ("broadcast" in known.channels) is not broadcast:
                        continue
                    if after <= known.at < upto and (not live or known.at >= opened):
                        found.append(block.at - known.at)
        return sorted(found)

    @cached_property
    def violations(self) -> list[Violation]:
        return [*self._of_pages(), *self._of_order(), *self._of_tasks(), *self._of_pace()]

    def _of_pages(self) -> Iterator[Violation]:
        events: defaultdict[str, dict[str, Published]] = defaultdict(dict)
        for event in self.published.values():
            for channel in event.channels:
                events[channel][event.id] = event
        for first in range(0, len(self.pages), SHARD):
            pages = self.pages[first : first + SHARD]
            own: dict[str, Published] = {}
            for channel in {channel for page in pages for channel in page.channels}:
                own |= events[channel]
            yield from check(pages, own, self.acknowledged & own.keys(), gaps_allowed=())
        for page in self.pages:
            yield from (Violation("page", f"{page.name} {fault}") for fault in page.faults)
            if page.cuts and self.order == "sigterm":
                yield Violation("cut", f"{page.name} lost {page.cuts} connections without stream.close")
            if not page.ended:
                yield Violation("kept", f"{page.name} had no other stream than its first, but no old task is left")

    def _of_order(self) -> Iterator[Violation]:
        """Check that each event has one position on all pages, and each position one event."""
        pairs = {
            (position(block), event_id(block))
            for page in self.pages
            for block in page.seen
            if not block.type.startswith("stream.")
        }
        places, events = {place for place, _ in pairs}, {event for _, event in pairs}
        if not len(places) == len(events) == len(pairs):
            yield Violation("doubled", f"{len(events)} events at {len(places)} places, as {len(pairs)} pairs")

    def _of_tasks(self) -> Iterator[Violation]:
        for number, old in enumerate(self.replaced, 1):
            if old.status != 0:
                yield Violation("status", f"old task {number} exited with {old.status}")
            if not old.in_time:
                yield Violation("late", f"old task {number} took {old.ended - old.told:.1f} s to end")
        for output in self.outputs:
            if "Traceback" in output or "was never retrieved" in output:
                yield Violation("traceback", output[-3000:])
        if self.failed:
            yield Violation("unanswered", f"{self.failed} times a task refused a connection of the balancer")
        yield from (Violation("dead letter", f"{event} is in the dead-letter queue") for event in self.dead)
        if unread := self.published.keys() - self.acknowledged:
            yield Violation("unread", f"{len(unread)} messages are still in the queue, as {min(unread)}")

    def _of_pace(self) -> Iterator[Violation]:
        if self.order == "deregister":
            return
        for number, drain in enumerate(self.drains, 1):
            # One, because the first stream ends at once, and one for the coarse clock.
            if drain.ahead > 2:
                yield Violation("pace", f"old task {number}: {drain.ahead:.0f} streams ended before their turn")
            if drain.greatest > CLIFF * drain.even + CHANCE:
                yield Violation("cliff", f"old task {number}: {drain.greatest} of {drain.streams} ended in one second")
        most, even = greatest(self.reconnects), max((drain.even for drain in self.drains), default=0.0)
        if most > CLIFF * even + CHANCE:
            yield Violation("cliff", f"{most} reconnects in one second, {even:.1f} where they are spread evenly")

    def __str__(self) -> str:
        first, last = self.during
        even = max(drain.even for drain in self.drains)
        counts = [len(page.begun) - 1 for page in self.pages]
        lines = [
            f"{len(self.pages)} streams, {len(self.published)} events, "
            f"{sum(page.received for page in self.pages)} deliveries",
            f"reconnects: {len(self.reconnects)}, {len(self.reconnects) / len(self.pages):.2f} a stream, "
            f"{min(counts)} to {max(counts)} each; {self.turned_away} of them were turned away by a draining task",
            f"greatest reconnects in one second: {self.most}, {even:.1f} if the largest drain is spread evenly",
            f"time without a stream: {_percentiles(self.away)}",
            f"delay before the deploy: {_percentiles(self.delays(self.begun, first))}",
            f"delay during it: {_percentiles(self.delays(first, last, live=True))}",
            f"delay during it, with what waited for a page to come back: {_percentiles(self.delays(first, last))}",
            f"delay of broadcasts before: {_percentiles(self.delays(self.begun, first, broadcast=True))}",
            f"delay of broadcasts during it: {_percentiles(self.delays(first, last, live=True, broadcast=True))}",
        ]
        for number, (old, drain) in enumerate(zip(self.replaced, self.drains, strict=True), 1):
            lines.append(
                f"old task {number}: {drain.streams} streams, even share {drain.even:.1f}/s, at most {drain.greatest} "
                f"in one second; deregistered {'after' if old.late else 'before'} SIGTERM"
                f"{'' if old.cut is None else f', all streams cut {old.cut - old.deregistered:.1f} s later'}; "
                f"status {old.status} after {old.ended - old.told:.1f} s"
            )
        lines.append(f"violations: {len(self.violations)}")
        return "\n".join([*lines, *(f"  {violation.kind}: {violation.text}" for violation in self.violations[:50])])


def greatest(times: Sequence[float]) -> int:
    """Return the largest number of these sorted times within any one second."""
    most = first = 0
    for number, at in enumerate(times):
        while at - times[first] >= 1:
            first += 1
        most = max(most, number - first + 1)
    return most


def percentile(ordered: Sequence[float], share: float) -> float:
    """Return the value below which this share of the sorted values lies."""
    return ordered[int(share * (len(ordered) - 1))]


def _percentiles(delays: Sequence[float]) -> str:
    if not delays:
        return "nothing was delivered"
    p50, p99 = (percentile(delays, share) for share in (0.5, 0.99))
    return f"p50 {p50 * 1000:.0f} ms, p99 {p99 * 1000:.0f} ms, max {delays[-1] * 1000:.0f} ms"
