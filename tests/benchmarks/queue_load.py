"""Sends events through the queue to a service with a CPU quota, and measures how they arrive."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from itertools import groupby

from tests.benchmarks.bench import PATIENCE, Bench
from tests.benchmarks.http_messages import call
from tests.benchmarks.load import Load
from tests.benchmarks.pinned_process import PinnedProcess
from tests.benchmarks.quota import Quota
from tests.benchmarks.rate import Trial


class QueueLoad:
    """A feed of events, and the service that reads it."""

    def __init__(self, bench: Bench, quota: Quota, server: PinnedProcess, load: Load, feed: int, users: int) -> None:
        self._bench, self._quota, self._server, self._load = bench, quota, server, load
        self._feed = feed
        self._had = [0] * users
        self._broadcasts = 0

    def broadcast(self, count: int) -> float:
        """Send broadcasts one after the other; return the median time to the last stream in ms."""
        self._broadcasts += count
        return float(self._load("broadcast", self._feed, "/all", count, 0)["last"]["p50"]) / 1000

    def burst(self, count: int) -> float:
        """Send events as fast as they are read; return events a second."""
        self._load("reset")
        call(self._feed, "/burst", **self._round_robin(count))
        self._arrive()
        return self._load.rate()

    def pace(self, per_second: int, seconds: int) -> Trial:
        """Send events at a rate for ``seconds``."""
        self._load("reset")
        query, stats = self._round_robin(per_second * seconds), call(self._feed, "/stats")
        count = query["count"]
        used, load_used, before = self._server.cpu(), self._load_cpu(), self._quota.throttling()
        began = time.monotonic()
        call(self._feed, "/pace", **query, per_second=per_second)
        time.sleep(count / per_second)
        while call(self._feed, "/stats")["sent"] < stats["sent"] + count:
            time.sleep(0.02)
        sent = time.monotonic()
        self._arrive()
        ended = time.monotonic()
        took = ended - began
        own, receives = self._load("figures")["own"], call(self._feed, "/stats")["receives"] - stats["receives"]
        return Trial(
            per_second=per_second,
            p50_ms=own["p50"] / 1000,
            p99_ms=own["p99"] / 1000,
            late=sent - began - count / per_second,
            emptied=ended - sent,
            quota=(self._server.cpu() - used) / took / self._quota.cpus,
            throttled=self._quota.throttling().since(before),
            load_core=(self._load_cpu() - load_used) / took,
            received=count / max(receives, 1),
        )

    def check(self) -> None:
        """Count missing events."""
        for first, users, had in self._alike():
            self._load("check", first, users, had, self._broadcasts)
        self._bench.faults["undeleted"] += self._bench.left(self._feed)

    def _round_robin(self, count: int) -> dict[str, int]:
        """Spread about ``count`` events evenly over as many users as possible."""
        rounds = math.ceil(count / len(self._had))
        users = count // rounds
        self._had[:users] = [had + rounds for had in self._had[:users]]
        return {"first": 0, "users": users, "count": users * rounds}

    def _alike(self) -> Iterator[tuple[int, int, int]]:
        """Groups of neighbouring users with the same number of events: the first user, the users, the events."""
        first = 0
        for had, users in groupby(self._had):
            count = len([*users])
            yield first, count, had
            first += count

    def _arrive(self) -> None:
        for first, users, had in self._alike():
            self._load("await", first, users, had, PATIENCE)
        self._bench.left(self._feed)

    def _load_cpu(self) -> float:
        return float(call(self._feed, "/stats")["cpu_seconds"] + self._load("figures")["cpu_seconds"])
