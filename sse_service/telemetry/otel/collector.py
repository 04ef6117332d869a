"""The connection to the collector. A collector that is away makes one line in the log, and no more."""

from __future__ import annotations

import logging
from threading import Lock
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
        self._answers = {"spans": _LastAnswer(), "metrics": _LastAnswer()}
        self._lock = Lock()
        # What the collector does not take now: spans, metrics, or both.
        self._refused: set[str] = set()
        self._closed = False
        self._spans = OTLPSpanExporter(session=self._session("spans"))
        self._metrics = OTLPMetricExporter(session=self._session("metrics"))
        # The SDK logs each attempt, and each batch that is dropped.
        for name in ("opentelemetry.exporter", "opentelemetry.sdk._shared_internal"):
            logging.getLogger(name).setLevel(logging.CRITICAL)

    def _session(self, kind: str) -> requests.Session:
        session = requests.Session()
        session.mount("http://", self._answers[kind])
        session.mount("https://", self._answers[kind])
        return session

    def send_spans(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        """Send spans."""
        result = self._spans.export(spans)
        self._note("spans", taken=result is SpanExportResult.SUCCESS)
        return result

    def send_metrics(self, data: MetricsData) -> None:
        """Send metrics."""
        self._note("metrics", taken=self._metrics.export(data) is MetricExportResult.SUCCESS)

    def close(self) -> None:
        """Give up what is being sent, and log no more: the process ends."""
        self._closed = True
        self._spans.shutdown()  # type: ignore[no-untyped-call]  # the SDK's has no types
        self._metrics.shutdown()

    def _note(self, kind: str, *, taken: bool) -> None:
        """Log the begin and the end of an outage: one line each, although spans and metrics are sent side by side."""
        with self._lock:
            before = bool(self._refused)
            (self._refused.discard if taken else self._refused.add)(kind)
            after = bool(self._refused)
        if self._closed or before is after:
            return
        if taken:
            _log.info("the OpenTelemetry collector takes spans and metrics again")
        else:
            _log.warning(
                "the OpenTelemetry collector does not take %s (%s): what it does not take is dropped; look at "
                "OTEL_EXPORTER_OTLP_ENDPOINT. This is logged once for each outage",
                kind,
                self._answers[kind].answer,
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
