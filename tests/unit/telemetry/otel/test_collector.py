"""An outage of the collector is two lines in the log: its begin and its end."""

import pytest
from opentelemetry.sdk.metrics.export import MetricsData
from opentelemetry.sdk.trace.export import SpanExportResult

from sse_service.telemetry.otel.collector import Collector
from tests.integration.otlp_receiver import collector

NOTHING = MetricsData([])


@pytest.fixture(autouse=True)
def prepared(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    caplog.set_level("INFO", logger="sse_service")


def logged(caplog: pytest.LogCaptureFixture) -> list[tuple[str, str]]:
    """Level and text of each line."""
    return [(record.levelname, record.getMessage()) for record in caplog.records]


def test_spans_and_metrics_share_an_outage(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    with collector() as (seen, url):
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", url)
        sender = Collector()
        seen.status = 401
        for _ in range(3):
            assert sender.send_spans([]) is SpanExportResult.FAILURE
            sender.send_metrics(NOTHING)
        seen.status = 200
        assert sender.send_spans([]) is SpanExportResult.SUCCESS
        assert len(logged(caplog)) == 1
        sender.send_metrics(NOTHING)
        sender.send_metrics(NOTHING)
        sender.close()
    [(level, begin), end] = logged(caplog)
    assert level == "WARNING"
    assert "does not take spans (status 401)" in begin
    assert end == ("INFO", "the OpenTelemetry collector takes spans and metrics again")


def test_a_collector_without_metrics_is_one_line_although_it_takes_spans(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    with collector() as (seen, url):
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", f"{url}/v1/traces")
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_METRICS_ENDPOINT", f"{url}/absent")
        sender = Collector()
        for _ in range(3):
            assert sender.send_spans([]) is SpanExportResult.SUCCESS
            sender.send_metrics(NOTHING)
        assert seen.requests == 6
        sender.close()
    [(_, line)] = logged(caplog)
    assert "does not take metrics (status 404)" in line


def test_a_secret_in_the_address_is_not_logged(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://canary:canary@127.0.0.1:1/canary")
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_HEADERS", "api-key=canary")
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_TIMEOUT", "0.1")
    sender = Collector()
    sender.send_metrics(NOTHING)
    sender.close()
    [(_, line)] = logged(caplog)
    assert "does not take metrics (ConnectionError)" in line
    assert "canary" not in line
