"""The metrics that alarms and autoscaling need, in CloudWatch's embedded metric format (EMF).

Each record is one JSON line on stdout, which CloudWatch Logs turns into metrics.
"""

from __future__ import annotations

import asyncio
import json
import time
from typing import TYPE_CHECKING

from sse_service.telemetry.counters import increase
from sse_service.telemetry.metrics import sum_samples

if TYPE_CHECKING:
    from collections.abc import Callable

    from sse_service.telemetry.health import Health
    from sse_service.telemetry.metrics import Metrics

PERIOD_SECONDS = 60
"""CloudWatch's standard resolution."""

MAX_VALUES = 100
"""Limit of values for a metric in one record (EMF specification)."""

_LATENCY = "PublishToWriteMilliseconds"


class EmbeddedMetrics:
    """Writes one record a minute: the value of each gauge, and the increase of each counter since the last record."""

    def __init__(self, *, metrics: Metrics, health: Health, namespace: str, write: Callable[[str], object]) -> None:
        """``write`` is called with a line and its line end. The line must reach CloudWatch Logs unchanged."""
        self._metrics = metrics
        self._health = health
        self._namespace = namespace
        self._write = write
        self._last_counts: dict[str, float] = {}
        self._last_buckets = metrics.publish_to_write_seconds.bucket_counts()

    async def run(self) -> None:
        """Write a record every minute until cancelled, then a last one for the rest."""
        try:
            while True:
                await asyncio.sleep(PERIOD_SECONDS)
                self.record()
        finally:
            self.record()

    def record(self) -> None:
        """Write one record."""
        values: dict[str, float | list[float]] = {
            "StreamsOpen": sum_samples(self._metrics.streams_open),
            "Ready": float(self._health.ready()),
        }
        for name, count in self._counts().items():
            values[name] = count - self._last_counts.get(name, 0)
            self._last_counts[name] = count
        if latencies := self._latencies():
            values[_LATENCY] = latencies
        units = {name: "Milliseconds" if name == _LATENCY else "Count" for name in values}
        directive = {
            "Namespace": self._namespace,
            "Dimensions": [[]],
            "Metrics": [{"Name": name, "Unit": unit} for name, unit in units.items()],
        }
        meta = {"Timestamp": int(time.time() * 1000), "CloudWatchMetrics": [directive]}
        self._write(json.dumps({"_aws": meta, **values}) + "\n")

    def _counts(self) -> dict[str, float]:
        metrics = self._metrics
        return {
            "StreamsOpened": sum_samples(metrics.streams_opened),
            "StreamsRefused": sum_samples(metrics.requests_refused, ("limit", "user", "address", "rate")),
            "SlowReadersCut": sum_samples(metrics.streams_closed, ("slow",)),
            "EventsStored": sum_samples(metrics.events_stored),
            "EventsDelivered": sum_samples(metrics.events_delivered),
            "MessagesRejected": sum_samples(metrics.messages_rejected),
            "Gaps": sum_samples(metrics.gaps),
        }

    def _latencies(self) -> list[float]:
        """Return at most MAX_VALUES values in the histogram's proportions. Percentiles are kept, counts are not."""
        buckets = self._metrics.publish_to_write_seconds.bucket_counts()
        new = increase(buckets, self._last_buckets)
        self._last_buckets = buckets
        observed = sum(count for _, count in new)
        share = min(MAX_VALUES / observed, 1) if observed else 0
        # JSON has no infinity: the last bucket is represented by its lower bound.
        longest = buckets[-2][0]
        values: list[float] = []
        passed = 0
        for bound, count in new:
            passed += count
            values += [min(bound, longest) * 1000] * (round(passed * share) - len(values))
        return values
