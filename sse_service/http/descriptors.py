"""File descriptors: how many this process may have, and what is left of them for connections."""

from __future__ import annotations

import logging
import resource

from sse_service.model.errors import InvalidSettings

MOST = 1_048_576
"""What Linux allows a process unless told otherwise (fs.nr_open)."""

ADMIN_CONNECTIONS = 32
"""What the admin port may take of those that are kept back."""

KEPT_BACK = 100
"""For all but the public port: SQS, Valkey, the admin port, files."""

_log = logging.getLogger(__name__)


def raise_limit() -> int:
    """Take as many as the process may (getrlimit(2)): a shell's default of 1,024 is for programs that use select(2)."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    most = MOST if hard == resource.RLIM_INFINITY else min(hard, MOST)
    if soft != resource.RLIM_INFINITY and soft < most:
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))
    return most


def connections_within(limit: int) -> int:
    """How many connections the public port may have; raises InvalidSettings for a limit with which nobody can serve."""
    if limit < 2 * KEPT_BACK:
        raise InvalidSettings(f"ulimit -n: must be at least {2 * KEPT_BACK} file descriptors, and is {limit}")
    return limit - KEPT_BACK


def most_streams(connections: int) -> int:
    """How many of them may be streams: a tenth is for those that are told to come back."""
    return connections * 9 // 10


def streams_within(connections: int, wanted: int) -> int:
    """As many as are wanted, or fewer, with a line in the log."""
    most = most_streams(connections)
    if wanted > most:
        _log.warning(
            "SSE_MAX_STREAMS is %d, and the limit of file descriptors (ulimit -n) lets this task hold only %d",
            wanted,
            most,
        )
    return min(wanted, most)
