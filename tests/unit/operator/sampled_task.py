"""Samples of a task's metrics, on a clock that tests control."""

from __future__ import annotations

from sse_service.operator.samples import PERIOD_SECONDS, Samples
from sse_service.telemetry.metrics import Metrics


class SampledTask:
    """A task's metrics, and their samples."""

    def __init__(self) -> None:
        self.now = 50_000.0
        self.metrics = Metrics()
        self.samples = Samples(metrics=self.metrics, clock=lambda: self.now)

    def sample(self, *, streams: int = 0, events: int = 0, delays: tuple[float, ...] = ()) -> None:
        """Record the activity of one period, and take the next sample at its end."""
        self.now += PERIOD_SECONDS
        self.metrics.streams_open.set(streams)
        self.metrics.events_delivered.inc(events)
        for delay in delays:
            self.metrics.publish_to_write_seconds.observe(delay)
        self.samples.take()
