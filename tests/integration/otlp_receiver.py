"""A collector: it takes OTLP over HTTP as protobuf, and keeps what it gets."""

from __future__ import annotations

import gzip
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import (
    ExportMetricsServiceRequest,
    ExportMetricsServiceResponse,
)
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)
from opentelemetry.proto.trace.v1.trace_pb2 import Span as EncodedSpan

from tests.integration.process import DEADLINE


@dataclass(frozen=True, kw_only=True)
class Span:
    """One span as it was exported. Ids are in hexadecimal digits."""

    name: str
    kind: str
    trace_id: str
    span_id: str
    parent_id: str
    status: int
    attributes: dict[str, Any]
    resource: dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class Metric:
    """The last figures of a metric: its encoded form, and the resource that it came from."""

    encoded: Any
    resource: dict[str, Any]

    @property
    def values(self) -> dict[tuple[str, ...], float]:
        """The values of a counter or gauge by the values of its labels."""
        points = (self.encoded.sum if self.encoded.HasField("sum") else self.encoded.gauge).data_points
        return {tuple(attributes(p.attributes).values()): p.as_double or p.as_int for p in points}


class Collector:
    """What has arrived. ``status`` is the answer to everything."""

    def __init__(self) -> None:
        self.status = 200
        self.requests = 0
        self.spans: list[Span] = []
        self.metrics: dict[str, Metric] = {}
        self._news = threading.Condition()
        self._answering = threading.Event()
        self._answering.set()

    @contextmanager
    def held(self) -> Iterator[None]:
        """Leave all requests without an answer meanwhile."""
        self._answering.clear()
        try:
            yield
        finally:
            self._answering.set()

    def take(self, path: str, body: bytes) -> tuple[int, bytes]:
        """Take one request, and return the answer's status and body."""
        with self._news:
            self.requests += 1
            self._news.notify_all()
        self._answering.wait(DEADLINE)
        with self._news:
            self._news.notify_all()
            if self.status != 200:
                return self.status, b""
            if path == "/v1/traces":
                self.spans += _spans(ExportTraceServiceRequest.FromString(body))
                return 200, ExportTraceServiceResponse().SerializeToString()
            if path == "/v1/metrics":
                self.metrics |= _metrics(ExportMetricsServiceRequest.FromString(body))
                return 200, ExportMetricsServiceResponse().SerializeToString()
            return 404, b""

    def wait_for(self, found: Callable[[Collector], Any], what: str = "") -> Any:
        """Wait until the condition holds, and return its result."""
        until = time.monotonic() + DEADLINE
        with self._news:
            while not (result := found(self)):
                assert self._news.wait(until - time.monotonic()), f"{what or found}: {self.spans}"
        return result

    def trace(self, trace_id: str, *names: str) -> list[Span]:
        """Wait for the spans of a trace whose names begin with these words, in this order, and return them."""

        def spans(self: Collector) -> list[Span]:
            found = [span for span in self.spans if span.trace_id == trace_id]
            chosen = [span for name in names for span in found if span.name.split()[0] == name]
            return chosen if len(chosen) >= len(names) else []

        chosen: list[Span] = self.wait_for(spans, f"{names} of {trace_id}")
        return chosen


@contextmanager
def collector(port: int = 0) -> Iterator[tuple[Collector, str]]:
    """Run a collector, and yield it with its URL."""
    made = Collector()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            sent = self.rfile.read(int(self.headers["Content-Length"]))
            if self.headers.get("Content-Encoding") == "gzip":
                sent = gzip.decompress(sent)
            status, body = made.take(self.path, sent)
            self.send_response(status)
            self.send_header("Content-Type", "application/x-protobuf")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", port), Handler)
    # The service keeps its connections open.
    server.daemon_threads = True
    server.block_on_close = False
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield made, f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join(DEADLINE)
        server.server_close()


def attributes(pairs: Any) -> dict[str, Any]:
    """Decode a list of attributes."""
    return {pair.key: getattr(pair.value, pair.value.WhichOneof("value")) for pair in pairs}


def _spans(request: ExportTraceServiceRequest) -> list[Span]:
    return [
        Span(
            name=span.name,
            kind=EncodedSpan.SpanKind.Name(span.kind).removeprefix("SPAN_KIND_"),
            trace_id=span.trace_id.hex(),
            span_id=span.span_id.hex(),
            parent_id=span.parent_span_id.hex(),
            status=span.status.code,
            attributes=attributes(span.attributes),
            resource=attributes(group.resource.attributes),
        )
        for group in request.resource_spans
        for scope in group.scope_spans
        for span in scope.spans
    ]


def _metrics(request: ExportMetricsServiceRequest) -> dict[str, Metric]:
    return {
        metric.name: Metric(encoded=metric, resource=attributes(group.resource.attributes))
        for group in request.resource_metrics
        for scope in group.scope_metrics
        for metric in scope.metrics
    }
