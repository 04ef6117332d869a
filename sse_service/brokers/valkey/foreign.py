"""What stands in a channel and was not published to it is held back."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sse_service.telemetry.metrics import Metrics

_log = logging.getLogger(__name__)


def foreign(channel: str, metrics: Metrics) -> None:
    """Count it, and say so: somebody else writes to the store."""
    metrics.events_dropped.labels("foreign").inc()
    _log.error("what stands in %s was not published to it, and is held back", channel)
