"""What a task of one size carries."""

from __future__ import annotations

import time
from dataclasses import dataclass
from functools import partial

from tests.benchmarks.bench import Bench
from tests.benchmarks.quota import Quota
from tests.benchmarks.rate import Trial, highest, using
from tests.benchmarks.source import Source

TARGET = 0.6
"""What autoscaling is told to keep to."""
TRIES = 7
GENTLY = 20
"""Streams that wait for their answer at one time, when nothing hurries."""
BROADCASTS = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class Carried:
    """One size's figures."""

    cpus: float
    streams: int
    opened_s: float
    """Until they were open, a few at a time."""
    memory_mb: float
    """PSS of the process with them."""
    tried: list[Trial]
    """Rates, of events for one user each."""
    part: Trial
    """TARGET of the highest rate."""
    target: Trial
    """The rate that uses TARGET of the quota: fewer events a second come in smaller receives, and cost more each."""
    broadcast_ms: float
    """Until it was at the last stream, median."""
    back_s: float
    """Until all were open again, who left and came back at once."""

    @property
    def most(self) -> Trial | None:
        """The highest rate that was held, if any was."""
        held = [trial for trial in self.tried if trial.held]
        return max(held, key=lambda trial: trial.per_second, default=None)

    @property
    def load_limits(self) -> bool:
        """Whether a task may carry more than the load could ask of it."""
        return any(trial.load_limits for trial in self.tried if not trial.held or trial is self.most)


def carried(bench: Bench, cpus: float, *, seconds: int, tries: int = TRIES) -> Carried:
    """Measure a task with so many cores; a rate is tried for so many seconds."""
    size = bench.size
    streams = min(round(size.many * cpus), bench.most)
    with (
        Quota(cpus) as quota,
        bench.fed("ours") as (server, feed),
        bench.ours(server, streams, awake=False) as load,
    ):
        quota.take(server.pids)
        opened = load("open", 0, streams, GENTLY)["seconds"]
        time.sleep(size.settle)
        memory = server.memory()
        source = Source(bench, quota, server, load, feed, streams)
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
    return Carried(
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
