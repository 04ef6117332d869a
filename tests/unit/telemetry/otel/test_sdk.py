"""What the standard OTEL_ variables may say."""

import pytest

from sse_service.model.errors import InvalidSettings
from sse_service.telemetry.metrics import Metrics
from sse_service.telemetry.otel.sdk import OpenTelemetry


def made() -> OpenTelemetry:
    return OpenTelemetry(metrics=Metrics(), queue_url="https://sqs.example.com/1/events", store="memory")


@pytest.mark.parametrize(
    ("name", "value", "allowed"),
    [
        ("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc", "http/protobuf"),
        ("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "grpc", "http/protobuf"),
        ("OTEL_EXPORTER_OTLP_METRICS_PROTOCOL", "http/json", "http/protobuf"),
        ("OTEL_TRACES_EXPORTER", "zipkin", "otlp or none"),
        ("OTEL_METRICS_EXPORTER", "prometheus", "otlp or none"),
        *(
            ("OTEL_METRIC_EXPORT_INTERVAL", value, "a number of milliseconds above 0")
            for value in ("1m", "0", "-1", "nan", "inf")
        ),
    ],
)
def test_what_is_not_supported_is_refused(monkeypatch: pytest.MonkeyPatch, name: str, value: str, allowed: str) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(InvalidSettings, match=f"^{name}: must be {allowed}$"):
        made()


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *(("OTEL_EXPORTER_OTLP_PROTOCOL", value) for value in ("http/protobuf", "", " HTTP/protobuf ")),
        *(("OTEL_TRACES_EXPORTER", value) for value in ("otlp", "")),
        ("OTEL_METRIC_EXPORT_INTERVAL", ""),
    ],
)
def test_what_is_supported_is_accepted(monkeypatch: pytest.MonkeyPatch, name: str, value: str) -> None:
    monkeypatch.setenv(name, value)
    assert made().tracing is not None


def test_without_an_exporter_for_traces_nothing_makes_spans(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_TRACES_EXPORTER", "none")
    assert made().tracing is None
