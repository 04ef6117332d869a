"""The connection to the collector. A collector that is away makes one line in the log, and no more."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

import requests
from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.metrics.export import MetricExportResult
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult
from requests.adapters import HTTPAdapter

if TYPE_CHECKING:
    from collections.abc import Sequence

    from opentelemetry.sdk.metrics.export import MetricsData
    from opentelemetry.sdk.trace import ReadableSpan

_log = logging.getLogger(__name__)


class Collector:
    """Sends to the collector that the ``OTEL_EXPORTER_OTLP_…`` variables name. Its methods block: use threads."""

    def __init__(self) -> None:
        self._last = _LastAnswer()
        self._away = False
        self._closed = False
        self._spans = OTLPSpanExporter(session=self._session())
        self._metrics = OTLPMetricExporter(session=self._session())
        # The SDK logs each attempt, and each batch that is dropped.
        for name in ("opentelemetry.exporter", "opentelemetry.sdk._shared_internal"):
            logging.getLogger(name).setLevel(logging.CRITICAL)

    def _session(self) -> requests.Session:
        session = requests.Session()
        session.mount("http://", self._last)
        session.mount("https://", self._last)
        return session

    def send_spans(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        """Send spans."""
        result = self._spans.export(spans)
        self._note(result is SpanExportResult.SUCCESS)
        return result

    def send_metrics(self, data: MetricsData) -> None:
        """Send metrics."""
        self._note(self._metrics.export(data) is MetricExportResult.SUCCESS)

    def close(self) -> None:
        """Give up what is being sent, and log no more: the process ends."""
        self._closed = True
        self._spans.shutdown()  # type: ignore[no-untyped-call]  # the SDK's has no types
        self._metrics.shutdown()

    def _note(self, succeeded: bool) -> None:
        if self._closed or succeeded is not self._away:
            return
        self._away = not succeeded
        if succeeded:
            _log.info("the OpenTelemetry collector takes spans and metrics again")
        else:
            _log.warning(
                "the OpenTelemetry collector does not take spans and metrics (%s), and they are dropped until it does; "
                "look at OTEL_EXPORTER_OTLP_ENDPOINT. This is logged once",
                self._last.answer,
            )


class SpansToCollector(SpanExporter):
    """The exporter that the SDK's batch processor calls in its own thread."""

    def __init__(self, collector: Collector) -> None:
        self._collector = collector

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        """Send spans."""
        return self._collector.send_spans(spans)


class _LastAnswer(HTTPAdapter):
    """Remembers how the last request ended: its status, or the error's class. An error's text may hold a secret."""

    answer = "no answer"

    def send(self, request: requests.PreparedRequest, **options: Any) -> requests.Response:  # type: ignore[override]  # requests names the options
        try:
            response = super().send(request, **options)
        except Exception as error:
            self.answer = type(error).__name__
            raise
        self.answer = f"status {response.status_code}"
        return response
