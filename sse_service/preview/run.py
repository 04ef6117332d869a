"""Runs the preview of messages."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from sse_service.ingestion import router_of
from sse_service.preview.messages import read_messages
from sse_service.preview.report import report_on

if TYPE_CHECKING:
    from collections.abc import Callable

    from sse_service.settings.settings import Settings


def preview(file: str, settings: Settings, *, as_json: bool, write: Callable[[str], None]) -> bool:
    """Write what would become of each message. Returns whether all of them reach somebody.

    ``file`` is a path, or ``-`` for stdin. Raises ValueError, and OSError if the file cannot be read.
    """
    data = sys.stdin.buffer.read() if file == "-" else Path(file).read_bytes()
    text = data.decode(errors="surrogateescape")
    router = router_of(settings)
    reports = [
        report_on(message, router, discard_unrouted=settings.unrouted == "discard") for message in read_messages(text)
    ]
    for report in reports:
        for line in [json.dumps(report.as_json())] if as_json else report.lines():
            write(line)
    return all(report.good for report in reports)
