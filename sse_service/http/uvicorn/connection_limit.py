"""How many connections one port may have."""

from __future__ import annotations

import logging
import time

REPORT_SECONDS = 10
"""Between two lines in the log that say the same."""

_log = logging.getLogger(__name__)


class ConnectionLimit:
    """Admits connections while file descriptors are left."""

    def __init__(self, *, connections: int, port_name: str) -> None:
        """``port_name`` stands in the log."""
        self._most = connections
        self._port_name = port_name
        self._refused = 0
        self._silent_until = 0.0

    def admits(self, number: int) -> bool:
        """Whether there is room for this many connections. A refusal is logged, at most once in ten seconds."""
        if number <= self._most:
            return True
        self._refused += 1
        if time.monotonic() >= self._silent_until:
            self._silent_until = time.monotonic() + REPORT_SECONDS
            _log.error(
                "the %s port is at its limit of %d connections and has refused %d: raise the limit of file descriptors "
                "(ulimit -n), or run more tasks",
                self._port_name,
                self._most,
                self._refused,
            )
        return False
