"""Turns the metrics of Prometheus's registry into OpenTelemetry's. Each keeps the name that Prometheus shows."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING

from opentelemetry.sdk.metrics.export import (
    AggregationTemporality,
    Gauge,
    Histogram,
    HistogramDataPoint,
    Metric,
    MetricsData,
    NumberDataPoint,
    ResourceMetrics,
    ScopeMetrics,
    Sum,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.util.instrumentation import InstrumentationScope
    from prometheus_client.metrics_core import Metric as Family


def metrics_data(
    families: Iterable[Family], *, resource: Resource, scope: InstrumentationScope, since_ns: int, now_ns: int
) -> MetricsData:
    """Return the metrics. Counts are since ``since_ns``, both in nanoseconds since 1970."""
    metrics = [_metric(family, since_ns, now_ns) for family in families]
    scopes = [ScopeMetrics(scope, metrics, schema_url="")]
    return MetricsData([ResourceMetrics(resource, scopes, schema_url="")])


def _metric(family: Family, since_ns: int, now_ns: int) -> Metric:
    if family.type == "histogram":
        points = [_histogram(family, labels, since_ns, now_ns) for labels in _series(family)]
        return Metric(family.name, family.documentation, "", Histogram(points, AggregationTemporality.CUMULATIVE))
    counts = family.type == "counter"
    numbers = [
        NumberDataPoint(sample.labels, since_ns if counts else 0, now_ns, sample.value) for sample in family.samples
    ]
    if counts:
        total = Sum(numbers, AggregationTemporality.CUMULATIVE, is_monotonic=True)
        return Metric(f"{family.name}_total", family.documentation, "", total)
    return Metric(family.name, family.documentation, "", Gauge(numbers))


def _series(family: Family) -> list[dict[str, str]]:
    return [sample.labels for sample in family.samples if sample.name.endswith("_count")]


def _histogram(family: Family, labels: Mapping[str, str], since_ns: int, now_ns: int) -> HistogramDataPoint:
    """Make the point of one series. Prometheus's buckets are cumulative, and OpenTelemetry's are not."""
    bounds: list[float] = []
    cumulative = [0]
    total = 0.0
    for sample in family.samples:
        if {name: value for name, value in sample.labels.items() if name != "le"} != labels:
            continue
        if sample.name.endswith("_bucket"):
            bounds.append(float(sample.labels["le"]))
            cumulative.append(int(sample.value))
        elif sample.name.endswith("_sum"):
            total = sample.value
    return HistogramDataPoint(
        attributes=labels,
        start_time_unix_nano=since_ns,
        time_unix_nano=now_ns,
        count=cumulative[-1],
        sum=total,
        bucket_counts=[upto - before for before, upto in pairwise(cumulative)],
        # The last bound is infinity, which OpenTelemetry leaves out.
        explicit_bounds=bounds[:-1],
        min=None,  # type: ignore[arg-type]  # unknown here, and optional in OTLP
        max=None,  # type: ignore[arg-type]  # the same
    )
