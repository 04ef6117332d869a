"""The metrics of one process, in Prometheus's format."""

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

# This switch is global. Without it, every series comes with a second one that has its time of creation.
disable_created_metrics()  # type: ignore[no-untyped-call]  # prometheus-client's has no types

CONTENT_TYPE = CONTENT_TYPE_LATEST
"""The media type of the text that ``Metrics.render`` returns."""

DELAY_BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)
"""Upper bounds, in seconds, of the delays from publish to write."""
ANSWER_BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2)
"""Upper bounds, in seconds, of the time that the authorizer takes. It is limited to 2 s."""
CLOSED = ("client", "answered", *CloseReason)
"""Why a stream ended: the client left, a poll was answered, or the server ended the stream for a CloseReason."""
PROTOCOLS = ("sse", "websocket", "polling")
"""What clients speak."""
AUTHORIZER_ANSWERS = ("user", "unauthorized", "forbidden", "failed", "remembered")
"""What the authorizer said, or that it was not asked because its last answer was used again."""
REJECTED = (*ConsumerReason, *RejectionReason)
"""Why a message was left to the dead-letter queue: the consumer's reasons, then routing's."""


class Metrics:
    """All metrics of one process.

    They have their own registry, so that two services in one process do not mix. Series with known labels are created
    at once, so that Prometheus sees a zero before the first increase. The class is also the Observer of a consumer.
    """

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        ProcessCollector(namespace="sse", registry=self.registry)
        tasks = Gauge("sse_asyncio_tasks", "Tasks in the event loop.", registry=self.registry)
        tasks.set_function(_running_tasks)
        self.streams_open = Gauge("sse_streams_open", "Streams that are open.", registry=self.registry)
        self.streams_opened = self._labelled_counter(
            "streams_opened", "Streams opened, by protocol. Each poll opens one.", PROTOCOLS, label="protocol"
        )
        self.streams_closed = self._labelled_counter("streams_closed", "Streams ended, by reason.", CLOSED)
        self.requests_refused = self._labelled_counter(
            "requests_refused", "Requests for a stream that were refused, by reason.", RefusalReason
        )
        self.events_stored = self._counter("events_stored", "Events stored by the broker, without duplicates.")
        self.events_delivered = self._counter(
            "events_delivered", "Events handed to streams. An event counts once for each stream."
        )
        self.events_dropped = self._labelled_counter(
            "events_dropped", "Events that were discarded, by reason.", DropReason
        )
        self.messages_rejected = self._labelled_counter(
            "messages_rejected",
            "Messages left for the dead-letter queue, by reason. A message counts each time it is received.",
            REJECTED,
        )
        self.duplicates = self._labelled_counter(
            "duplicates",
            "Events whose id was already stored. kind: the same event, or one with different data or type.",
            ("same", "differing"),
            label="kind",
        )
        self.sqs_receives = self._counter("sqs_receives", "ReceiveMessage calls that succeeded, empty ones included.")
        self.sqs_messages_received = self._counter("sqs_messages_received", "Messages received from the queue.")
        self.sqs_messages_deleted = self._counter("sqs_messages_deleted", "Messages deleted from the queue.")
        self.sqs_failures = Counter(
            "sse_sqs_failures",
            "Calls to SQS that failed, by operation and by AWS error code or exception class.",
            ("operation", "code"),
            registry=self.registry,
        )
        self.sqs_fast_path = Gauge(
            "sse_sqs_fast_path",
            "1 if receives and deletes take the fast path through aiobotocore, 0 if they do not.",
            registry=self.registry,
        )
        self.publish_to_write_seconds = self._histogram(
            "publish_to_write_seconds",
            "Seconds from the timestamp in the event's envelope until the event is handed to streams.",
            DELAY_BUCKETS,
        )
        self.replay_events = self._histogram(
            "replay_events", "Events in one replay.", (0, 1, 2, 5, 10, 25, 50, 100, 200, 500, 1_000, 5_000)
        )
        self.broker_connections = self._counter("broker_connections", "Connections made to the broker's store.")
        self.broker_jumps = self._counter(
            "broker_jumps", "Times that events were lost on the way from the broker's store to this task."
        )
        self.authorizer_answers = self._labelled_counter(
            "authorizer_answers",
            "Answers of the authorizer, by kind. remembered: its last answer was used again.",
            AUTHORIZER_ANSWERS,
            label="answer",
        )
        self.authorizer_seconds = self._histogram(
            "authorizer_seconds", "Seconds that the authorizer took for one answer.", ANSWER_BUCKETS
        )
        self.revocations = Gauge(
            "sse_revocations",
            "Revocations that this task holds: of users, and of single tokens.",
            registry=self.registry,
        )
        self.gaps = self._labelled_counter("gaps", "stream.gap events sent, by reason.", GapReason)

    def render(self) -> bytes:
        """Return all metrics in Prometheus's text format."""
        return generate_latest(self.registry)

    def received(self, messages: int) -> None:
        """Count a receive that succeeded."""
        self.sqs_receives.inc()
        self.sqs_messages_received.inc(messages)

    def deleted(self, messages: int) -> None:
        """Count messages that were deleted from the queue."""
        self.sqs_messages_deleted.inc(messages)

    def failed(self, operation: str, code: str) -> None:
        """Count a call that failed."""
        self.sqs_failures.labels(operation, code).inc()

    def rejected(self, reason: str) -> None:
        """Count a message that was left for the dead-letter queue."""
        self.messages_rejected.labels(reason).inc()

    def _counter(self, name: str, documentation: str) -> PlainCounter:
        counter = PlainCounter(f"sse_{name}", documentation)
        self.registry.register(counter)
        return counter

    def _histogram(self, name: str, documentation: str, buckets: Sequence[float]) -> PlainHistogram:
        histogram = PlainHistogram(f"sse_{name}", documentation, buckets)
        self.registry.register(histogram)
        return histogram

    def _labelled_counter(self, name: str, documentation: str, known: Iterable[str], label: str = "reason") -> Counter:
        counter = Counter(f"sse_{name}", documentation, (label,), registry=self.registry)
        for value in known:
            counter.labels(value)
        return counter


def sum_samples(metric: Collector, label_values: Iterable[str] = ()) -> float:
    """Add up a metric's series: all of them, or only those with one of these label values."""
    wanted = set(label_values)
    samples = [sample for family in metric.collect() for sample in family.samples]
    return sum(s.value for s in samples if not wanted or wanted.intersection(s.labels.values()))


def _running_tasks() -> int:
    """Return the number of tasks in the running event loop, or 0 if there is no loop."""
    try:
        return len(asyncio.all_tasks())
    except RuntimeError:
        return 0
