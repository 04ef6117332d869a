"""The limit of connections of one port."""

from __future__ import annotations

import logging
import time

LOG_INTERVAL_SECONDS = 10
"""Minimum time between two log lines about the limit."""

_log = logging.getLogger(__name__)


class ConnectionLimit:
    """Admits connections while file descriptors are left."""

    def __init__(self, *, connections: int, port_name: str) -> None:
        """``port_name`` is used in log lines."""
        self._max_connections = connections
        self._port_name = port_name
        self._refused = 0
        self._next_log_at = 0.0

    def admits(self, number: int) -> bool:
        """Whether the port may have this many connections. Refusals are logged, at most once in ten seconds."""
        if number <= self._max_connections:
            return True
        self._refused += 1
        if time.monotonic() >= self._next_log_at:
            self._next_log_at = time.monotonic() + LOG_INTERVAL_SECONDS
            _log.error(
                "the %s port is at its limit of %d connections and has refused %d: raise the limit of file descriptors "
                "(ulimit -n), or run more tasks",
                self._port_name,
                self._max_connections,
                self._refused,
            )
        return False
