"""Prometheus's samples as OpenTelemetry's points."""

from typing import Any

from opentelemetry.sdk.metrics.export import Gauge, Histogram, Sum
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from prometheus_client import CollectorRegistry
from prometheus_client import Gauge as PrometheusGauge
from prometheus_client import Histogram as PrometheusHistogram

from sse_service.telemetry.metrics import Metrics
from sse_service.telemetry.otel.metrics import metrics_data


def converted(registry: CollectorRegistry) -> dict[str, Any]:
    data = metrics_data(
        registry.collect(), resource=Resource({}), scope=InstrumentationScope("test"), since_ns=1, now_ns=2
    )
    [resource] = data.resource_metrics
    [scope] = resource.scope_metrics
    return {metric.name: metric.data for metric in scope.metrics}


def test_a_counter_is_a_growing_sum_since_the_start() -> None:
    metrics = Metrics()
    metrics.events_stored.inc(3)
    metrics.failed("receive", "Throttled")
    found = converted(metrics.registry)
    stored, failures = found["sse_events_stored_total"], found["sse_sqs_failures_total"]
    assert isinstance(stored, Sum)
    assert stored.is_monotonic
    assert [(point.value, point.start_time_unix_nano, point.time_unix_nano) for point in stored.data_points] == [
        (3, 1, 2)
    ]
    assert [(point.attributes, point.value) for point in failures.data_points] == [
        ({"operation": "receive", "code": "Throttled"}, 1)
    ]


def test_a_gauge_is_a_gauge() -> None:
    registry = CollectorRegistry()
    PrometheusGauge("sse_open", "Open.", registry=registry).set(7)
    gauge = converted(registry)["sse_open"]
    assert isinstance(gauge, Gauge)
    assert [point.value for point in gauge.data_points] == [7]


def test_a_histograms_buckets_are_counted_each_for_itself() -> None:
    metrics = Metrics()
    for seconds in (0.001, 0.02, 0.02, 1000):
        metrics.publish_to_write_seconds.observe(seconds)
    histogram = converted(metrics.registry)["sse_publish_to_write_seconds"]
    assert isinstance(histogram, Histogram)
    [point] = histogram.data_points
    assert (point.count, point.sum) == (4, 1000.041)
    assert list(point.explicit_bounds)[:3] == [0.005, 0.01, 0.025]
    assert list(point.bucket_counts) == [1, 0, 2, *[0] * 10, 1]


def test_each_series_of_a_histogram_has_its_own_point() -> None:
    registry = CollectorRegistry()
    histogram = PrometheusHistogram("sse_wait", "Wait.", ("kind",), buckets=(1, 2), registry=registry)
    histogram.labels("a").observe(1.5)
    histogram.labels("b").observe(0.5)
    points = converted(registry)["sse_wait"].data_points
    assert [(point.attributes, list(point.bucket_counts)) for point in points] == [
        ({"kind": "a"}, [0, 1, 0]),
        ({"kind": "b"}, [1, 0, 0]),
    ]
