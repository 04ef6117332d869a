"""Builds what reports to an OpenTelemetry collector, if it is switched on."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from sse_service.model.errors import InvalidSettings

if TYPE_CHECKING:
    from sse_service.settings.settings import Settings
    from sse_service.telemetry.metrics import Metrics
    from sse_service.telemetry.otel.sdk import OpenTelemetry


def opentelemetry_of(settings: Settings, *, metrics: Metrics) -> OpenTelemetry | None:
    """Make the reporter of spans and metrics, or None: then nothing of OpenTelemetry is imported, and nothing wrapped.

    Raises InvalidSettings.
    """
    # The standard's own switch.
    disabled = os.environ.get("OTEL_SDK_DISABLED", "").strip().lower() == "true"
    if not settings.otel or disabled:
        return None
    try:
        from sse_service.telemetry.otel.sdk import OpenTelemetry
    except ImportError:
        raise InvalidSettings("SSE_OTEL: needs pip install 'sse-service[otel]'") from None
    return OpenTelemetry(
        metrics=metrics, queue_url=settings.queue_url, store="memory" if settings.in_memory else "valkey"
    )
