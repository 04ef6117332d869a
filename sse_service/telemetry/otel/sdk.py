"""Sets up OpenTelemetry's SDK, and exports in the background."""

from __future__ import annotations

import asyncio
import os
import queue
import time
import uuid
from contextlib import suppress
from importlib.metadata import PackageNotFoundError, version
from threading import Thread
from typing import TYPE_CHECKING

from opentelemetry.sdk.resources import OTELResourceDetector, Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.sdk.util.instrumentation import InstrumentationScope

from sse_service.model.errors import InvalidSettings
from sse_service.telemetry.otel.collector import Collector, SpansToCollector
from sse_service.telemetry.otel.metrics import metrics_data
from sse_service.telemetry.otel.spans import Tracing

if TYPE_CHECKING:
    from collections.abc import Callable

    from opentelemetry.sdk.metrics.export import MetricsData

    from sse_service.telemetry.metrics import Metrics

CLOSE_SECONDS = 2.0
"""How long the end of the task waits for the collector to take what is left."""

_DEFAULTS = {
    "OTEL_METRIC_EXPORT_INTERVAL": 60_000,
    "OTEL_BSP_SCHEDULE_DELAY": 5_000,
    "OTEL_BSP_MAX_QUEUE_SIZE": 2_048,
    "OTEL_BSP_MAX_EXPORT_BATCH_SIZE": 512,
}
"""The SDK's own. They are read here, because the SDK fails or falls silent if one of them is wrong."""

_SAMPLERS = tuple(
    f"{parent}{name}" for parent in ("", "parentbased_") for name in ("always_on", "always_off", "traceidratio")
)

_NAME = "sse-service"


class OpenTelemetry:
    """Reports a task's spans and metrics. It uses no global state, so two tasks in one process do not mix."""

    def __init__(self, *, metrics: Metrics, queue_url: str, store: str) -> None:
        """Raises InvalidSettings for ``OTEL_…`` variables that ask for what is not supported."""
        _check_environment()
        self._numbers = {name: _number(name) for name in _DEFAULTS}
        self._registry = metrics.registry
        self._since = time.time_ns()
        self._scope = InstrumentationScope(_NAME, _version())
        defaults = {"service.name": _NAME, "service.version": _version(), "service.instance.id": str(uuid.uuid4())}
        self._resource = Resource.get_empty().merge(Resource(defaults)).merge(OTELResourceDetector().detect())
        self._sends_metrics = _sends("METRICS")
        # The sampler is the one that OTEL_TRACES_SAMPLER names.
        try:
            self._spans = TracerProvider(resource=self._resource, shutdown_on_exit=False) if _sends("TRACES") else None
        except ValueError as error:
            # A limit of spans that is no number. The SDK names the variable.
            raise InvalidSettings(str(error)) from None
        self.tracing = None if self._spans is None else self._tracing(self._spans, queue_url, store)
        """What makes spans; None if none are wanted."""

    def _tracing(self, provider: TracerProvider, queue_url: str, store: str) -> Tracing:
        return Tracing(tracer=provider.get_tracer(_NAME, _version()), queue_url=queue_url, store=store)

    async def run(self) -> None:
        """Export until cancelled, then what is left, for CLOSE_SECONDS at most."""
        collector = Collector()
        # At most one export waits: with a collector that does not answer, newer figures are skipped.
        pending: queue.Queue[MetricsData | None] = queue.Queue(maxsize=1)
        sending = Thread(target=_send_metrics, args=(collector, pending), name="otel-metrics", daemon=True)
        sending.start()
        if self._spans is not None:
            self._spans.add_span_processor(self._processor(collector))
        try:
            while True:
                await asyncio.sleep(self._numbers["OTEL_METRIC_EXPORT_INTERVAL"] / 1000)
                if self._sends_metrics:
                    with suppress(queue.Full):
                        pending.put_nowait(self._collect())
        finally:
            last = self._collect() if self._sends_metrics else None
            await _within(CLOSE_SECONDS, lambda: self._flush(pending, last, sending))
            collector.close()

    def _processor(self, collector: Collector) -> BatchSpanProcessor:
        size = self._numbers["OTEL_BSP_MAX_QUEUE_SIZE"]
        return BatchSpanProcessor(
            SpansToCollector(collector),
            max_queue_size=size,
            schedule_delay_millis=self._numbers["OTEL_BSP_SCHEDULE_DELAY"],
            max_export_batch_size=min(self._numbers["OTEL_BSP_MAX_EXPORT_BATCH_SIZE"], size),
        )

    def _collect(self) -> MetricsData:
        # Here and not in a thread: the metrics may be read in the event loop's thread only.
        return metrics_data(
            self._registry.collect(),
            resource=self._resource,
            scope=self._scope,
            since_ns=self._since,
            now_ns=time.time_ns(),
        )

    def _flush(self, pending: queue.Queue[MetricsData | None], last: MetricsData | None, sending: Thread) -> None:
        if last is not None:
            with suppress(queue.Full):
                pending.put_nowait(last)
        if self._spans is not None:
            self._spans.shutdown()
        pending.put(None)
        sending.join()


def _send_metrics(collector: Collector, pending: queue.Queue[MetricsData | None]) -> None:
    while (data := pending.get()) is not None:
        collector.send_metrics(data)


async def _within(seconds: float, work: Callable[[], None]) -> None:
    """Run blocking work in a thread of its own, which is left behind if it takes longer.

    The event loop's executor would not do: the end of the loop waits for its threads.
    """
    done, loop = asyncio.Event(), asyncio.get_running_loop()

    def run() -> None:
        work()
        # The loop may be closed by now.
        with suppress(RuntimeError):
            loop.call_soon_threadsafe(done.set)

    Thread(target=run, name="otel-flush", daemon=True).start()
    with suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await done.wait()


def _version() -> str:
    try:
        return version(_NAME)
    except PackageNotFoundError:
        # It runs from a checkout.
        return "0"


def _check_environment() -> None:
    """Raise InvalidSettings for what the SDK would ignore: nothing would arrive, or too much, without a word."""
    for signal in ("", "TRACES_", "METRICS_"):
        _check(f"OTEL_EXPORTER_OTLP_{signal}PROTOCOL", "http/protobuf")
        name = f"OTEL_EXPORTER_OTLP_{signal}ENDPOINT"
        if (url := _variable(name)) and not url.startswith(("http://", "https://")):
            raise InvalidSettings(f"{name}: must begin with http:// or https://")
    for signal in ("TRACES", "METRICS"):
        _check(f"OTEL_{signal}_EXPORTER", "otlp", "none")
    _check("OTEL_TRACES_SAMPLER", *_SAMPLERS)
    share = _variable("OTEL_TRACES_SAMPLER_ARG") or "1"
    try:
        right = 0 <= float(share) <= 1
    except ValueError:
        right = False
    if not right:
        raise InvalidSettings("OTEL_TRACES_SAMPLER_ARG: must be a number from 0 to 1")


def _check(name: str, *allowed: str) -> None:
    if _variable(name) not in ("", *allowed):
        raise InvalidSettings(f"{name}: must be {' or '.join(allowed)}")


def _sends(signal: str) -> bool:
    return _variable(f"OTEL_{signal}_EXPORTER") != "none"


def _number(name: str) -> int:
    text = _variable(name) or str(_DEFAULTS[name])
    if not (text.isascii() and text.isdigit() and len(text) < 10 and int(text)):
        raise InvalidSettings(f"{name}: must be a whole number above 0")
    return int(text)


def _variable(name: str) -> str:
    return os.environ.get(name, "").strip().lower()
