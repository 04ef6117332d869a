"""What this process counts, in the form that Prometheus reads."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence

from prometheus_client import (
    CONTENT_TYPE_LATEST,
    CollectorRegistry,
    Counter,
    Gauge,
    ProcessCollector,
    disable_created_metrics,
    generate_latest,
)
from prometheus_client.registry import Collector

from consumers.errors import ConsumerReason
from sse_service.model.reasons import CloseReason, DropReason, GapReason, RefusalReason, RejectionReason
from sse_service.telemetry.counters import PlainCounter, PlainHistogram

# A flag of the whole process: without it, each series has a second one that says when it was made.
disable_created_metrics()  # type: ignore[no-untyped-call]  # prometheus-client's has no types

CONTENT_TYPE = CONTENT_TYPE_LATEST
"""The media type of what ``Metrics.render`` gives."""

CLOSED = ("client", *CloseReason)
"""Why a stream ended: the client left, or a CloseReason."""
REJECTED = (*ConsumerReason, *RejectionReason)
"""Why a message was left to the dead-letter queue: the consumer's reasons, then routing's."""


class Metrics:
    """Counters of one process, in a registry of their own, so that two services in one process do not mix.

    It is the observer that a consumer reports to. Labels that are known are made at once, so that a zero is seen.
    """

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        ProcessCollector(namespace="sse", registry=self.registry)
        tasks = Gauge("sse_asyncio_tasks", "Tasks of the event loop now.", registry=self.registry)
        tasks.set_function(_running_tasks)
        self.streams_open = Gauge("sse_streams_open", "Streams open now.", registry=self.registry)
        self.streams_opened = self._counter("streams_opened", "Streams begun.")
        self.streams_closed = self._labelled("streams_closed", "Streams ended, by reason.", CLOSED)
        self.requests_refused = self._labelled(
            "requests_refused", "Requests that got no stream, by reason.", RefusalReason
        )
        self.events_stored = self._counter("events_stored", "Events that the broker stored, duplicates left out.")
        self.events_delivered = self._counter("events_delivered", "Events handed to streams, once for each stream.")
        self.events_dropped = self._labelled("events_dropped", "Events thrown away, by reason.", DropReason)
        self.messages_rejected = self._labelled(
            "messages_rejected",
            "Messages left to the dead-letter queue, by reason, at each time that they come.",
            REJECTED,
        )
        self.duplicates = self._labelled(
            "duplicates",
            "Events that came again: the same, or differing in data or type under a used id.",
            ("same", "differing"),
            label="kind",
        )
        self.sqs_receives = self._counter("sqs_receives", "Receives that SQS answered, empty ones included.")
        self.sqs_messages_received = self._counter("sqs_messages_received", "Messages that SQS handed over.")
        self.sqs_messages_deleted = self._counter("sqs_messages_deleted", "Messages deleted from the queue.")
        self.sqs_failures = Counter(
            "sse_sqs_failures",
            "Calls to SQS that failed, by operation and AWS's error code or the error's class.",
            ("operation", "code"),
            registry=self.registry,
        )
        self.sqs_fast_path = Gauge(
            "sse_sqs_fast_path",
            "1 if receives and deletes take the fast path through aiobotocore, 0 if they do not.",
            registry=self.registry,
        )
        self.publish_to_write_seconds = self._spread(
            "publish_to_write_seconds",
            "Seconds from the time in the event's wrapper to its being handed to streams.",
            (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60),
        )
        self.replay_events = self._spread(
            "replay_events", "Events of one replay.", (0, 1, 2, 5, 10, 25, 50, 100, 200, 500, 1_000, 5_000)
        )
        self.broker_connections = self._counter("broker_connections", "Times that the broker's store was connected to.")
        self.broker_jumps = self._counter("broker_jumps", "Times that a message was lost between store and task.")
        self.gaps = self._labelled("gaps", "Gaps told to streams, by reason.", GapReason)

    def render(self) -> bytes:
        """The exposition, to be served as CONTENT_TYPE."""
        return generate_latest(self.registry)

    def received(self, messages: int) -> None:
        """Count a receive that was answered."""
        self.sqs_receives.inc()
        self.sqs_messages_received.inc(messages)

    def deleted(self, messages: int) -> None:
        """Count messages that are gone from the queue."""
        self.sqs_messages_deleted.inc(messages)

    def failed(self, operation: str, code: str) -> None:
        """Count a call that failed."""
        self.sqs_failures.labels(operation, code).inc()

    def rejected(self, reason: str) -> None:
        """Count a message that no retry can help."""
        self.messages_rejected.labels(reason).inc()

    def _counter(self, name: str, meaning: str) -> PlainCounter:
        tally = PlainCounter(f"sse_{name}", meaning)
        self.registry.register(tally)
        return tally

    def _spread(self, name: str, meaning: str, edges: Sequence[float]) -> PlainHistogram:
        spread = PlainHistogram(f"sse_{name}", meaning, edges)
        self.registry.register(spread)
        return spread

    def _labelled(self, name: str, meaning: str, known: Iterable[str], label: str = "reason") -> Counter:
        counter = Counter(f"sse_{name}", meaning, (label,), registry=self.registry)
        for value in known:
            counter.labels(value)
        return counter


def total(metric: Collector, labels: Iterable[str] = ()) -> float:
    """The sum over all of a metric's series, or over those with one of these label values."""
    wanted = set(labels)
    samples = [sample for family in metric.collect() for sample in family.samples]
    return sum(s.value for s in samples if not wanted or wanted.intersection(s.labels.values()))


def slots(histogram: Collector) -> list[tuple[float, float]]:
    """Upper edge of each slot, with how often it was met; the last one's, which has none, is the edge before it."""
    edges = [(float(s.labels["le"]), s.value) for f in histogram.collect() for s in f.samples if "le" in s.labels]
    found, below = [], 0.0
    for number, (edge, count) in enumerate(edges):
        found.append((edge if edge != float("inf") else edges[number - 1][0], count - below))
        below = count
    return found


def _running_tasks() -> int:
    """Of the loop that asks; 0 outside one."""
    try:
        return len(asyncio.all_tasks())
    except RuntimeError:
        return 0
