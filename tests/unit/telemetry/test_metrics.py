"""Prometheus sees every metric with the prefix ``sse_``, including those that are zero."""

from prometheus_client.parser import text_string_to_metric_families

from consumers.errors import ConsumerReason
from sse_service.model.reasons import DropReason, GapReason, RejectionReason
from sse_service.telemetry.metrics import CONTENT_TYPE, Metrics


def samples(metrics: Metrics) -> dict[tuple[str, tuple[str, ...]], float]:
    families = text_string_to_metric_families(metrics.render().decode())
    return {(s.name, tuple(s.labels.values())): s.value for family in families for s in family.samples}


def test_all_names_have_our_prefix() -> None:
    found = samples(Metrics())
    assert found
    assert all(name.startswith("sse_") for name, _ in found)
    assert not any(name.endswith("_created") for name, _ in found)
    assert CONTENT_TYPE.startswith("text/plain")


def test_series_with_known_labels_start_at_zero() -> None:
    found = samples(Metrics())
    assert {found["sse_gaps_total", (reason.value,)] for reason in GapReason} == {0}
    for reason in (*ConsumerReason, *RejectionReason):
        assert found["sse_messages_rejected_total", (reason.value,)] == 0
    assert {found["sse_events_dropped_total", (reason.value,)] for reason in DropReason} == {0}
    assert found["sse_streams_closed_total", ("client",)] == 0


def test_a_consumer_reports_to_metrics() -> None:
    metrics = Metrics()
    metrics.received(0)
    metrics.received(10)
    metrics.deleted(9)
    metrics.failed("ReceiveMessage", "RequestThrottled")
    metrics.rejected("envelope")
    found = samples(metrics)
    assert found["sse_sqs_receives_total", ()] == 2
    assert found["sse_sqs_messages_received_total", ()] == 10
    assert found["sse_sqs_messages_deleted_total", ()] == 9
    assert found["sse_sqs_failures_total", ("RequestThrottled", "ReceiveMessage")] == 1
    assert found["sse_messages_rejected_total", ("envelope",)] == 1


def test_two_services_in_one_process_do_not_mix() -> None:
    one, two = Metrics(), Metrics()
    one.streams_opened.labels("sse").inc()
    assert samples(two)["sse_streams_opened_total", ("sse",)] == 0


def test_latencies_are_counted_in_buckets_up_to_a_minute() -> None:
    metrics = Metrics()
    metrics.publish_to_write_seconds.observe(0.02)
    metrics.publish_to_write_seconds.observe(61)
    found = samples(metrics)
    bucket = "sse_publish_to_write_seconds_bucket"
    assert [found[bucket, (le,)] for le in ("0.01", "0.025", "60.0", "+Inf")] == [0, 1, 1, 2]
