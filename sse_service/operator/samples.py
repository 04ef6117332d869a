"""The data of the plots: samples of the task's metrics, taken every few seconds and kept for 15 minutes."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING

from sse_service.telemetry.counters import increase, quantile
from sse_service.telemetry.metrics import sum_samples

if TYPE_CHECKING:
    from collections.abc import Callable

    from sse_service.telemetry.metrics import Metrics

PERIOD_SECONDS = 5
WINDOW_SECONDS = 15 * 60
MISSED_SECONDS = 2.5 * PERIOD_SECONDS
"""If the time between two samples is longer than this, the process did not run."""


@dataclass(frozen=True, slots=True)
class Sample:
    """The state of a task at one moment, and its activity since the previous sample."""

    at: float
    """Seconds by the clock of ``Samples``."""
    streams: float
    events_per_second: float
    """Events delivered, as a mean since the previous sample."""
    delay_median: float | None
    """An upper bound of the seconds from publish to write; None if there was no event since the previous sample."""
    delay_p99: float | None


class Samples:
    """Samples a task's metrics and keeps the last 15 minutes. It does so whether or not a page is open."""

    def __init__(self, *, metrics: Metrics, clock: Callable[[], float] = time.monotonic) -> None:
        self._metrics = metrics
        self._clock = clock
        self._kept: deque[Sample] = deque(maxlen=WINDOW_SECONDS // PERIOD_SECONDS + 1)
        self._last_at = clock()
        self._last_delivered = sum_samples(metrics.events_delivered)
        self._last_buckets = metrics.publish_to_write_seconds.bucket_counts()

    async def run(self) -> None:
        """Take a sample every few seconds until cancelled."""
        while True:
            self.take()
            await asyncio.sleep(PERIOD_SECONDS)

    def take(self) -> None:
        """Take one sample."""
        now = self._clock()
        delivered = sum_samples(self._metrics.events_delivered)
        buckets = self._metrics.publish_to_write_seconds.bucket_counts()
        new = increase(buckets, self._last_buckets)
        seconds = now - self._last_at
        self._kept.append(
            Sample(
                at=now,
                streams=sum_samples(self._metrics.streams_open),
                events_per_second=(delivered - self._last_delivered) / seconds if seconds > 0 else 0.0,
                delay_median=quantile(new, 0.5),
                delay_p99=quantile(new, 0.99),
            )
        )
        self._last_at, self._last_delivered, self._last_buckets = now, delivered, buckets

    def window(self) -> Window:
        """Return the samples of the last 15 minutes, oldest first."""
        now = self._clock()
        return Window(now, [sample for sample in self._kept if sample.at >= now - WINDOW_SECONDS])


@dataclass(frozen=True, slots=True)
class Window:
    """The 15 minutes before one moment."""

    now: float
    samples: list[Sample]

    def pauses(self) -> list[tuple[float, float]]:
        """Return the times when the process did not run, as (start, end). The time before its start is one of them."""
        found = []
        last = self.now - WINDOW_SECONDS
        for at in (*(sample.at for sample in self.samples), self.now):
            if at - last > MISSED_SECONDS:
                found.append((last, at))
            last = at
        return found
