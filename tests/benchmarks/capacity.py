"""Measures how many events a second a task of one size can handle."""

from __future__ import annotations

import time
from dataclasses import dataclass
from functools import partial

from tests.benchmarks.bench import Bench
from tests.benchmarks.health_checks import HealthChecks
from tests.benchmarks.queue_load import QueueLoad
from tests.benchmarks.quota import Quota
from tests.benchmarks.rate import Trial, highest, using

TARGET = 0.6
"""The share of the CPU at which autoscaling keeps a task."""
TRIES = 7
GENTLY = 20
"""Streams that are opened at the same time when there is no hurry."""
BROADCASTS = 5
CHECKED_SECONDS = 10
"""Interval of the container's health checks, at most."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Capacity:
    """The figures of one size."""

    cpus: float
    streams: int
    opened_s: float
    """Time to open all streams, a few at a time."""
    memory_mb: float
    """PSS of the process with its streams."""
    tried: list[Trial]
    """All rates that were tried, with events for one user each."""
    part: Trial
    """TARGET times the highest rate."""
    target: Trial
    """The rate that uses TARGET of the quota. At lower rates receives are smaller, so an event costs more."""
    broadcast_ms: float
    """Time until a broadcast reached the last stream, median."""
    back_s: float
    """Time until all streams were open again after all had left and come back at once."""

    @property
    def most(self) -> Trial | None:
        """The highest rate that the task kept up with, if any."""
        held = [trial for trial in self.tried if trial.held]
        return max(held, key=lambda trial: trial.per_second, default=None)

    @property
    def load_limits(self) -> bool:
        """Whether the load generator may have been the limit, not the task."""
        return any(trial.load_limits for trial in self.tried if not trial.held or trial is self.most)


def measure_capacity(bench: Bench, cpus: float, *, seconds: int, tries: int = TRIES) -> Capacity:
    """Measure a task with a quota of ``cpus`` cores; each rate is tried for ``seconds``."""
    size = bench.size
    streams = min(round(size.many * cpus), bench.most)
    with (
        Quota(cpus) as quota,
        bench.fed("ours") as (server, feed),
        bench.ours(server, streams, awake=False) as load,
        # One in each trial: three times as often as the image says.
        HealthChecks(quota, port=server.port, every=min(seconds, CHECKED_SECONDS)) as checks,
    ):
        quota.take(server.pids)
        opened = load("open", 0, streams, GENTLY)["seconds"]
        time.sleep(size.settle)
        memory = server.memory()
        source = QueueLoad(bench, quota, server, load, feed, streams)
        start = source.burst(round(size.events * cpus))
        attempt = partial(source.pace, seconds=seconds)
        tried = highest(attempt, start, tries)
        most = max((trial.per_second for trial in tried if trial.held), default=tried[-1].per_second)
        part = attempt(max(round(most * TARGET), 1))
        target = using(attempt, TARGET, part, min(tries, 4))
        last = source.broadcast(BROADCASTS)
        began = time.monotonic()
        load("leave", 0, streams)
        load("open", 0, streams, streams)
        back = time.monotonic() - began
        source.burst(streams)
        source.check()
    if checks.failed or not checks.passed:
        bench.faults["health check"] += checks.failed or 1
    return Capacity(
        cpus=cpus,
        streams=streams,
        opened_s=opened,
        memory_mb=memory / 1e6,
        tried=tried,
        part=part,
        target=target,
        broadcast_ms=last,
        back_s=back,
    )
