"""File descriptors: how many this process may have, and how many connections and streams they allow."""

from __future__ import annotations

import logging
import resource

from sse_service.model.errors import InvalidSettings

MAX_DESCRIPTORS = 1_048_576
"""Default limit of a process on Linux (fs.nr_open)."""

ADMIN_CONNECTIONS = 32
"""Connections that the admin port may have, out of RESERVED_DESCRIPTORS."""

RESERVED_DESCRIPTORS = 100
"""Descriptors for everything but the public port: SQS, Valkey, the admin port, files."""

_log = logging.getLogger(__name__)


def raise_limit() -> int:
    """Raise the soft limit as far as allowed (getrlimit(2)), and return it.

    The usual default of 1,024 exists for programs that use select(2).
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    most = MAX_DESCRIPTORS if hard == resource.RLIM_INFINITY else min(hard, MAX_DESCRIPTORS)
    if soft != resource.RLIM_INFINITY and soft < most:
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))
    return most


def connections_within(limit: int) -> int:
    """Return how many connections the public port may have. Raises InvalidSettings if the limit is too low to serve."""
    if limit < 2 * RESERVED_DESCRIPTORS:
        raise InvalidSettings(
            f"ulimit -n: must be at least {2 * RESERVED_DESCRIPTORS} file descriptors, and is {limit}"
        )
    return limit - RESERVED_DESCRIPTORS


def most_streams(connections: int) -> int:
    """Return how many connections may be streams. A tenth is left for requests that are refused."""
    return connections * 9 // 10


def streams_within(connections: int, wanted: int) -> int:
    """Return the wanted number of streams, or log a warning and return fewer if there are not enough connections."""
    most = most_streams(connections)
    if wanted > most:
        _log.warning(
            "SSE_MAX_STREAMS is %d, and the limit of file descriptors (ulimit -n) lets this task hold only %d",
            wanted,
            most,
        )
    return min(wanted, most)
