"""The settings, and what the system lets this task have."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sse_service.doctor.report import Finding, fail, ok
from sse_service.http.descriptors import KEPT_BACK, connections_within, most_streams
from sse_service.model.errors import InvalidSettings

if TYPE_CHECKING:
    from sse_service.settings.settings import Settings


def judge_settings(settings: Settings, refused: str | None) -> Finding:
    """``refused`` is why `serve` would not start, in a line that names the variable."""
    if refused is not None:
        return fail("settings", f"`serve` does not start: {refused}")
    if settings.in_memory:
        return ok("settings", "`serve` takes them; this is the queue's only reader, as SSE_SINGLE_TASK says")
    return ok("settings", "`serve` takes them; any number of tasks may read the queue")


def judge_descriptors(limit: int, streams: int) -> Finding:
    """The hard limit of file descriptors, to which `serve` raises its own, against ``SSE_MAX_STREAMS``."""
    try:
        most = most_streams(connections_within(limit))
    except InvalidSettings as error:
        return fail("descriptors", f"`serve` does not start: {error}", "raise the ulimit nofile")
    if streams > most:
        needed = -(-streams * 10 // 9) + KEPT_BACK
        text = f"the hard limit of file descriptors is {limit}: {most} streams, and SSE_MAX_STREAMS is {streams}"
        return fail("descriptors", text, f"raise the ulimit nofile to {needed}, or set SSE_MAX_STREAMS={most}")
    return ok("descriptors", f"{limit}, enough for SSE_MAX_STREAMS {streams}")
