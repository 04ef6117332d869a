"""What the standard OTEL_ variables may say."""

import asyncio
from collections.abc import Sequence

import pytest

from consumers.base import Outcome
from consumers.envelope import Envelope
from sse_service.model.errors import InvalidSettings
from sse_service.observability import opentelemetry_of
from sse_service.settings.settings import Settings
from sse_service.telemetry.metrics import Metrics
from sse_service.telemetry.otel.sdk import OpenTelemetry
from tests.integration.otlp_receiver import Collector as OTLPCollector
from tests.integration.otlp_receiver import collector
from tests.integration.until import until


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
            ("OTEL_METRIC_EXPORT_INTERVAL", value, "a whole number above 0")
            for value in ("1m", "0", "-1", "1.5", "nan", "9" * 10, "²")
        ),
        ("OTEL_BSP_MAX_QUEUE_SIZE", "many", "a whole number above 0"),
        ("OTEL_TRACES_SAMPLER", "jaeger_remote", "always_on or always_off or traceidratio or parentbased_.*"),
        *(("OTEL_TRACES_SAMPLER_ARG", value, "a number from 0 to 1") for value in ("1 %", "1.1", "-0.1", "nan")),
    ],
)
def test_what_is_not_supported_is_refused(monkeypatch: pytest.MonkeyPatch, name: str, value: str, allowed: str) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(InvalidSettings, match=f"^{name}: must be {allowed}$"):
        made()


@pytest.mark.parametrize("name", [f"OTEL_EXPORTER_OTLP_{signal}ENDPOINT" for signal in ("", "TRACES_", "METRICS_")])
@pytest.mark.parametrize("value", ["localhost:4318", "collector", "grpc://collector:4317"])
def test_an_endpoint_that_is_no_http_url_is_refused(monkeypatch: pytest.MonkeyPatch, name: str, value: str) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(InvalidSettings, match=f"^{name}: must begin with http:// or https://$"):
        made()


def test_a_variable_that_only_the_sdk_reads_is_refused_with_its_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_SPAN_ATTRIBUTE_COUNT_LIMIT", "many")
    with pytest.raises(InvalidSettings, match="OTEL_SPAN_ATTRIBUTE_COUNT_LIMIT"):
        made()


@pytest.mark.parametrize("value", ["true", " TRUE "])
def test_the_standards_own_switch_turns_it_off(monkeypatch: pytest.MonkeyPatch, value: str) -> None:
    monkeypatch.setenv("OTEL_SDK_DISABLED", value)
    settings = Settings(queue_url="https://sqs.example.com/1/events", otel=True, single_task=True)
    assert opentelemetry_of(settings, metrics=Metrics()) is None
    monkeypatch.setenv("OTEL_SDK_DISABLED", "false")
    assert opentelemetry_of(settings, metrics=Metrics()) is not None


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *(("OTEL_EXPORTER_OTLP_PROTOCOL", value) for value in ("http/protobuf", "", " HTTP/protobuf ")),
        *(("OTEL_TRACES_EXPORTER", value) for value in ("otlp", "")),
        *(("OTEL_TRACES_SAMPLER", value) for value in ("parentbased_traceidratio", "always_off", "")),
        *(("OTEL_TRACES_SAMPLER_ARG", value) for value in ("0", "0.01", "1", "1e-3", "")),
        ("OTEL_EXPORTER_OTLP_ENDPOINT", "HTTPS://collector.example.com"),
        ("OTEL_METRIC_EXPORT_INTERVAL", ""),
    ],
)
def test_what_is_supported_is_accepted(monkeypatch: pytest.MonkeyPatch, name: str, value: str) -> None:
    monkeypatch.setenv(name, value)
    assert made().tracing is not None


def test_without_an_exporter_for_traces_nothing_makes_spans(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_TRACES_EXPORTER", "none")
    assert made().tracing is None


def test_a_queue_smaller_than_a_batch_is_sent_in_smaller_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_BSP_MAX_QUEUE_SIZE", "5")
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")

    async def test(seen: OTLPCollector) -> None:
        running = made()
        assert running.tracing is not None
        work = asyncio.create_task(running.run())
        await asyncio.sleep(0)

        async def store(envelopes: Sequence[Envelope]) -> list[Outcome]:
            return [Outcome.DONE] * len(envelopes)

        await running.tracing.handler(store)([Envelope(str(n), "e", "x", "x", {}) for n in range(5)])
        await until(lambda: len(seen.spans) == 5)
        work.cancel()
        await asyncio.wait([work])

    with collector() as (seen, url):
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", url)
        asyncio.run(test(seen))
