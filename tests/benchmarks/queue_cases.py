"""Cases from the queue to the sockets, next to the floor, which reads the same feed."""

from __future__ import annotations

import time
from dataclasses import dataclass
from functools import partial

from tests.benchmarks.bench import PATIENCE, Bench
from tests.benchmarks.delivery_cases import CAUGHT_UP, spent
from tests.benchmarks.http_messages import call
from tests.benchmarks.load import Load
from tests.benchmarks.pinned_process import PinnedProcess, by_turns
from tests.benchmarks.table import Row, median

MEDIAN_RATIO = 2
P99_RATIO = 1.7
CHAIN_RATIO = 0.2
PER_SECOND = 1_000


def latency(bench: Bench) -> list[Row]:
    """Delays of events that are sent at a rate."""
    count = PER_SECOND * max(bench.size.seconds // 3, 1)
    rows = [
        (
            _row("delay at 1,000 a second, median", "ms", ours.p50_ms, floor.p50_ms, MEDIAN_RATIO),
            _row("delay at 1,000 a second, p99", "ms", ours.p99_ms, floor.p99_ms, P99_RATIO),
        )
        for ours, floor in _both(bench, "/pace", count, per_second=PER_SECOND)
    ]
    return [*map(median, zip(*rows, strict=True))]


def chain(bench: Bench) -> list[Row]:
    """Throughput of events that are sent as fast as they are read."""
    rows = [
        (
            Row("events a second", "1/s", ours.rate, floor.rate, "floor", CHAIN_RATIO, at_least=True),
            _row("CPU per event", "µs", ours.us, floor.us),
        )
        for ours, floor in _both(bench, "/burst", bench.size.events * 2 // bench.size.turns)
    ]
    return [*map(median, zip(*rows, strict=True))]


def _row(name: str, unit: str, ours: float, floor: float, bar: float | None = None) -> Row:
    return Row(name, unit, ours, floor, "floor", bar)


@dataclass
class Throughput:
    """How events arrived."""

    p50_ms: float
    p99_ms: float
    rate: float
    """Events a second."""
    us: float
    """CPU time per event, with its deletion."""


def _both(bench: Bench, path: str, count: int, **query: int) -> list[list[Throughput]]:
    """Measure our service and the floor in turns, each with a feed of its own."""
    users = bench.size.few
    with (
        bench.fed("ours") as (ours, our_feed),
        bench.ours(ours, users, awake=False) as our_load,
        bench.fed("floor") as (floor, floor_feed),
        bench.theirs(floor, users, awake=False) as floor_load,
    ):
        both = ((ours, our_load, our_feed), (floor, floor_load, floor_feed))
        sources = [_Source(bench, server, load, feed) for server, load, feed in both]
        for source in sources:
            source.warm_up()
        measured = [(source.server, partial(source.send, path, count, **query)) for source in sources]
        found = by_turns(bench.size.turns, *measured)
        for source in sources:
            source.check()
    return found


class _Source:
    """A feed and the server that reads it."""

    def __init__(self, bench: Bench, server: PinnedProcess, load: Load, feed: int) -> None:
        self.server = server
        self._bench, self._load, self._feed, self._users = bench, load, feed, bench.size.few
        self._had = 0

    def warm_up(self) -> None:
        """Open the streams and send a few events."""
        self._bench.open(self._load, 0, self._users)
        self.send("/burst", self._users * 2)

    def send(self, path: str, count: int, **query: int) -> Throughput:
        """Send events round robin, and wait until all have arrived and are deleted."""
        # A server that was paused first does what is overdue. One that runs is never so late.
        time.sleep(CAUGHT_UP)
        self._load("reset")
        self._had += count // self._users
        with spent(self.server) as used:
            call(self._feed, path, first=0, users=self._users, count=count, **query)
            self._load("await", 0, self._users, self._had, PATIENCE)
            self._bench.left(self._feed)
        own = self._load("figures")["own"]
        return Throughput(own["p50"] / 1000, own["p99"] / 1000, self._load.rate(), used.us(count))

    def check(self) -> None:
        """Count missing events."""
        self._load("check", 0, self._users, self._had, 0)
        self._bench.faults["undeleted"] += self._bench.left(self._feed)
