"""EmbeddedMetrics writes one line a minute, from which CloudWatch Logs makes metrics."""

from __future__ import annotations

import asyncio
import json
from typing import Any

from sse_service.telemetry.emf import MAX_VALUES, EmbeddedMetrics
from sse_service.telemetry.health import Health
from sse_service.telemetry.metrics import Metrics


class Reports:
    """A task's metrics, and the records written for them."""

    def __init__(self) -> None:
        self.metrics = Metrics()
        self.trouble: str | None = None
        self.lines: list[str] = []
        self.health = Health(dependencies={"broker": lambda: self.trouble})
        self.reports = EmbeddedMetrics(
            metrics=self.metrics, health=self.health, namespace="push/test", write=self.lines.append
        )

    def next(self) -> dict[str, Any]:
        self.reports.record()
        assert self.lines[-1].endswith("}\n")
        assert self.lines[-1].count("\n") == 1
        found: dict[str, Any] = json.loads(self.lines[-1])
        return found


def test_a_record_names_each_of_its_values_as_a_metric_without_dimensions() -> None:
    record = Reports().next()
    (directive,) = record["_aws"]["CloudWatchMetrics"]
    assert directive["Namespace"] == "push/test"
    assert directive["Dimensions"] == [[]]
    named = {metric["Name"] for metric in directive["Metrics"]}
    assert named == record.keys() - {"_aws"}
    assert {"StreamsOpen", "Ready", "Gaps", "SlowReadersCut", "EventsStored", "MessagesRejected"} <= named


def test_gauges_have_their_current_value_and_counters_their_increase_since_the_last_record() -> None:
    reports = Reports()
    reports.metrics.streams_open.set(7)
    reports.metrics.events_stored.inc(3)
    reports.metrics.gaps.labels("epoch").inc()
    reports.metrics.gaps.labels("lost").inc(2)
    reports.metrics.streams_closed.labels("client").inc(5)
    reports.metrics.streams_closed.labels("slow").inc()
    first, second = reports.next(), reports.next()
    names = ("StreamsOpen", "EventsStored", "Gaps", "SlowReadersCut")
    assert [first[name] for name in names] == [7, 3, 3, 1]
    assert [second[name] for name in names] == [7, 0, 0, 0]


def test_a_task_is_not_ready_while_its_store_is_unavailable_or_it_drains() -> None:
    reports = Reports()
    assert reports.next()["Ready"] == 1
    reports.trouble = "unavailable"
    assert reports.next()["Ready"] == 0
    reports.trouble = None
    reports.health.begin_drain()
    assert reports.next()["Ready"] == 0


def test_latencies_keep_their_percentiles_for_any_number_of_observations() -> None:
    reports = Reports()
    assert "PublishToWriteMilliseconds" not in reports.next()
    for number in range(10_000):
        reports.metrics.publish_to_write_seconds.observe(0.9 if number % 100 == 0 else 0.02)
    values = reports.next()["PublishToWriteMilliseconds"]
    assert values == [25] * 99 + [1000]
    assert len(values) <= MAX_VALUES
    reports.metrics.publish_to_write_seconds.observe(100)
    assert reports.next()["PublishToWriteMilliseconds"] == [60_000]
    assert "PublishToWriteMilliseconds" not in reports.next()


def test_a_last_record_is_written_at_the_end() -> None:
    reports = Reports()

    async def body() -> None:
        running = asyncio.create_task(reports.reports.run())
        await asyncio.sleep(0)
        reports.metrics.events_stored.inc()
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)

    asyncio.run(body())
    assert [json.loads(line)["EventsStored"] for line in reports.lines] == [1]
