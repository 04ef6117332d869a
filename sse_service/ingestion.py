"""Builds the way in: from the queue to the broker."""

from __future__ import annotations

from typing import TYPE_CHECKING

from consumers.sqs.consumer import SQSConsumer
from sse_service import aws
from sse_service.routing.ingest import Ingest
from sse_service.routing.overrides import Overrides
from sse_service.routing.router import Router

if TYPE_CHECKING:
    from sse_service.brokers.base import Broker
    from sse_service.settings.settings import Settings
    from sse_service.telemetry.metrics import Metrics
    from sse_service.telemetry.otel.spans import Tracing


def router_of(settings: Settings) -> Router:
    """Make the router."""
    return Router(
        max_event_bytes=settings.max_event_bytes,
        s3_key_pattern=settings.s3_key_pattern,
        overrides=Overrides(
            user=settings.route_user,
            group=settings.route_group,
            broadcast=settings.route_broadcast,
            type=settings.route_type,
            subject=settings.route_subject,
            data=settings.route_data,
            id=settings.route_id,
        ),
    )


def consumer_of(settings: Settings, *, broker: Broker, metrics: Metrics, tracing: Tracing | None) -> SQSConsumer:
    """Make the consumer of the queue. Its Handler stores events in the broker."""
    ingest = Ingest(
        router=router_of(settings),
        broker=broker if tracing is None else tracing.store(broker),
        metrics=metrics,
        discard_unrouted=settings.unrouted == "discard",
    )
    consumer = SQSConsumer(
        connect=lambda: aws.connect_sqs(pollers=settings.sqs_pollers),
        queue_url=settings.queue_url,
        queue_setting="SSE_QUEUE_URL",
        handler=ingest if tracing is None else tracing.handler(ingest),
        observer=metrics,
        pollers=settings.sqs_pollers,
        wait_seconds=aws.LONG_POLL_SECONDS,
        dedupe_seconds=settings.dedupe_seconds,
        fast_path=settings.sqs_fast_path,
        trace_header=tracing is not None,
    )
    metrics.sqs_fast_path.set_function(lambda: consumer.fast_path.in_use)
    return consumer
