"""Plain counters and histograms are rendered like prometheus-client's own. Quantiles are computed from buckets."""

import pytest
from prometheus_client import CollectorRegistry, Counter, Histogram, disable_created_metrics, generate_latest

from sse_service.telemetry.counters import PlainCounter, PlainHistogram, increase, quantile

disable_created_metrics()  # type: ignore[no-untyped-call]  # as the service does

BUCKETS = (0, 0.005, 1, 2.5, 10_000)


def test_a_plain_counter_is_rendered_like_a_counter_of_prometheus_client() -> None:
    ours, theirs = CollectorRegistry(), CollectorRegistry()
    plain, counter = PlainCounter("sse_events", "Events."), Counter("sse_events", "Events.", registry=theirs)
    ours.register(plain)
    assert generate_latest(ours) == generate_latest(theirs)
    for amount in (1, 3):
        plain.inc(amount)
        counter.inc(amount)
    assert generate_latest(ours) == generate_latest(theirs)


def test_a_plain_histogram_is_rendered_like_a_histogram_of_prometheus_client() -> None:
    ours, theirs = CollectorRegistry(), CollectorRegistry()
    plain = PlainHistogram("sse_s", "Seconds.", BUCKETS)
    histogram = Histogram("sse_s", "Seconds.", buckets=BUCKETS, registry=theirs)
    ours.register(plain)
    assert generate_latest(ours) == generate_latest(theirs)
    for amount in (0, 0.005, 0.0051, 1, 2.4, 2.5, 9_999, 10_000, 10_001, 0.25):
        plain.observe(amount)
        histogram.observe(amount)
    assert generate_latest(ours) == generate_latest(theirs)


@pytest.mark.parametrize(
    ("share", "expected"), [(0.0001, 0.005), (0.5, 0.005), (0.51, 1), (0.98, 1), (0.99, float("inf"))]
)
def test_a_quantile_is_the_upper_bound_of_its_bucket(share: float, expected: float) -> None:
    histogram = PlainHistogram("sse_s", "Seconds.", BUCKETS)
    for amount in [0.001] * 50 + [0.5] * 48 + [20_000] * 2:
        histogram.observe(amount)
    assert quantile(histogram.bucket_counts(), share) == expected


def test_without_observations_there_is_no_quantile() -> None:
    histogram = PlainHistogram("sse_s", "Seconds.", BUCKETS)
    assert quantile(histogram.bucket_counts(), 0.5) is None


def test_the_increase_of_bucket_counts_is_their_difference() -> None:
    histogram = PlainHistogram("sse_s", "Seconds.", (1, 2))
    histogram.observe(1)
    before = histogram.bucket_counts()
    histogram.observe(2)
    histogram.observe(3)
    assert increase(histogram.bucket_counts(), before) == [(1, 0), (2, 1), (float("inf"), 1)]
