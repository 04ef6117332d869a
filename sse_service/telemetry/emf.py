"""The figures that alarms and autoscaling need, in CloudWatch's embedded metric format: a log line becomes metrics."""

from __future__ import annotations

import asyncio
import json
import time
from typing import TYPE_CHECKING

from sse_service.telemetry.metrics import slots, total

if TYPE_CHECKING:
    from collections.abc import Callable

    from sse_service.telemetry.health import Health
    from sse_service.telemetry.metrics import Metrics

PERIOD_SECONDS = 60
"""CloudWatch's standard resolution."""

MAX_VALUES = 100
"""Of one metric in one record (the format's specification)."""

_LATENCY = "PublishToWriteMilliseconds"


class EmbeddedMetrics:
    """Writes one record a minute: gauges as they are, counters as what came since the last."""

    def __init__(self, *, metrics: Metrics, health: Health, namespace: str, write: Callable[[str], object]) -> None:
        """``write`` takes a line with its end; what it writes to must reach CloudWatch Logs as it is."""
        self._metrics = metrics
        self._health = health
        self._namespace = namespace
        self._write = write
        self._counted: dict[str, float] = {}
        self._slots: list[float] = []

    async def run(self) -> None:
        """Write until cancelled; what came since the last full minute is then written too."""
        try:
            while True:
                await asyncio.sleep(PERIOD_SECONDS)
                self.record()
        finally:
            self.record()

    def record(self) -> None:
        """Write what there is to say now."""
        values: dict[str, float | list[float]] = {
            "StreamsOpen": total(self._metrics.streams_open),
            "Ready": float(self._health.ready()),
        }
        for name, count in self._counts().items():
            values[name] = count - self._counted.get(name, 0)
            self._counted[name] = count
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
        counted = self._metrics
        return {
            "StreamsOpened": total(counted.streams_opened),
            "StreamsRefused": total(counted.requests_refused, ("limit", "user", "address", "rate")),
            "SlowReadersCut": total(counted.streams_closed, ("slow",)),
            "EventsStored": total(counted.events_stored),
            "EventsDelivered": total(counted.events_delivered),
            "MessagesRejected": total(counted.messages_rejected),
            "Gaps": total(counted.gaps),
        }

    def _latencies(self) -> list[float]:
        """As many values as the format takes, in the proportions of the histogram: percentiles hold, counts do not."""
        found = slots(self._metrics.publish_to_write_seconds)
        new = [(edge, count - was) for (edge, count), was in zip(found, self._slots or [0.0] * len(found), strict=True)]
        self._slots = [count for _, count in found]
        observed = sum(count for _, count in new)
        share = min(MAX_VALUES / observed, 1) if observed else 0
        values: list[float] = []
        passed = 0.0
        for edge, count in new:
            passed += count
            values += [edge * 1000] * (round(passed * share) - len(values))
        return values
