"""What is counted in plain numbers is shown as prometheus-client's own metrics are."""

from prometheus_client import CollectorRegistry, Counter, Histogram, disable_created_metrics, generate_latest

from sse_service.telemetry.counters import PlainCounter, PlainHistogram

disable_created_metrics()  # type: ignore[no-untyped-call]  # as the service does

EDGES = (0, 0.005, 1, 2.5, 10_000)


def test_a_tally_is_shown_as_a_counter_is() -> None:
    ours, theirs = CollectorRegistry(), CollectorRegistry()
    tally, counter = PlainCounter("sse_events", "Events."), Counter("sse_events", "Events.", registry=theirs)
    ours.register(tally)
    assert generate_latest(ours) == generate_latest(theirs)
    for amount in (1, 3):
        tally.inc(amount)
        counter.inc(amount)
    assert generate_latest(ours) == generate_latest(theirs)


def test_a_spread_is_shown_as_a_histogram_is_edges_included() -> None:
    ours, theirs = CollectorRegistry(), CollectorRegistry()
    spread, histogram = (
        PlainHistogram("sse_s", "Seconds.", EDGES),
        Histogram("sse_s", "Seconds.", buckets=EDGES, registry=theirs),
    )
    ours.register(spread)
    assert generate_latest(ours) == generate_latest(theirs)
    for amount in (0, 0.005, 0.0051, 1, 2.4, 2.5, 9_999, 10_000, 10_001, 0.25):
        spread.observe(amount)
        histogram.observe(amount)
    assert generate_latest(ours) == generate_latest(theirs)
