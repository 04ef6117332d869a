"""Runs the preview of messages."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from sse_service.ingestion import router_of
from sse_service.preview.report import report_on

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from sse_service.preview.messages import QueueMessage
    from sse_service.settings.settings import Settings


def preview(
    messages: Sequence[QueueMessage], settings: Settings, *, as_json: bool, write: Callable[[str], None]
) -> bool:
    """Write what would become of each message. Returns whether everything in them reaches somebody."""
    router = router_of(settings)
    reports = [report_on(message, router, discard_unrouted=settings.unrouted == "discard") for message in messages]
    for report in reports:
        for line in [json.dumps(report.as_json())] if as_json else report.lines():
            write(line)
    return all(report.good for report in reports)
