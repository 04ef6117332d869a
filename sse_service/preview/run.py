"""Runs the preview of messages."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING

from sse_service.ingestion import router_of
from sse_service.preview.report import report_on

if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import TextIO

    from sse_service.preview.messages import QueueMessage
    from sse_service.settings.settings import Settings


def preview(messages: Sequence[QueueMessage], settings: Settings, *, as_json: bool, output: TextIO) -> bool:
    """Print what would become of each message. Returns whether everything in them reaches somebody.

    Raises OSError if it cannot print. A reader that has enough, such as ``| head``, is no error.
    """
    router = router_of(settings)
    reports = [report_on(message, router, discard_unrouted=settings.unrouted == "discard") for message in messages]
    try:
        for report in reports:
            for line in [json.dumps(report.as_json())] if as_json else report.lines():
                print(line, file=output)
        output.flush()
    except BrokenPipeError:
        # Python would complain when it flushes the output at the exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), output.fileno())
    return all(report.good for report in reports)
