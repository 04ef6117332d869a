"""``settings``, ``region`` and ``descriptors``: the task's environment."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sse_service.doctor.report import Finding, fail, ok
from sse_service.http.descriptors import RESERVED_DESCRIPTORS, connections_within, most_streams
from sse_service.model.errors import InvalidSettings

if TYPE_CHECKING:
    from sse_service.settings.settings import Settings


def check_settings(settings: Settings, refused: str | None) -> Finding:
    """Check the settings. ``refused`` is why `serve` would not start, in one line that names the variable."""
    if refused is not None:
        return fail("settings", f"`serve` does not start: {refused}")
    if settings.in_memory:
        return ok("settings", "valid; this task alone reads the queue, as SSE_SINGLE_TASK says")
    return ok("settings", "valid; any number of tasks may read the queue")


def check_region(region: str | None, problem: str | None) -> Finding:
    """Check the region. ``problem`` is the reason why the AWS profile cannot be read."""
    if problem is not None:
        return fail("region", f"AWS_PROFILE: {problem}", "unset it: a task's role needs no profile")
    if region is None:
        return fail("region", "not set", "set AWS_REGION (ECS on Fargate sets it)")
    return ok("region", region)


def check_descriptors(limit: int, streams: int) -> Finding:
    """Compare the hard limit of file descriptors, to which `serve` raises its own limit, with ``SSE_MAX_STREAMS``."""
    try:
        most = most_streams(connections_within(limit))
    except InvalidSettings as error:
        return fail("descriptors", f"`serve` does not start: {error}", "raise the nofile ulimit")
    if streams > most:
        needed = -(-streams * 10 // 9) + RESERVED_DESCRIPTORS
        text = f"the hard limit of {limit} file descriptors allows {most} streams; SSE_MAX_STREAMS is {streams}"
        return fail("descriptors", text, f"raise the nofile ulimit to {needed}, or set SSE_MAX_STREAMS={most}")
    return ok("descriptors", f"{limit}, enough for SSE_MAX_STREAMS {streams}")
