"""What all connections of one port share: how many there may be, and whether the task ends."""

from __future__ import annotations

import logging
import time

REPORT_SECONDS = 10
"""Between two lines in the log that say the same."""

_log = logging.getLogger(__name__)


class Door:
    """Lets connections in."""

    def __init__(self, *, connections: int, name: str) -> None:
        """``name`` is the port's, for the log."""
        self._most = connections
        self._name = name
        self.draining = False
        """Whether every answer says ``Connection: close``."""
        self._refused = 0
        self._silent_until = 0.0

    def admits(self, number: int) -> bool:
        """Whether the so many-th connection may stay; the log says where not."""
        if number <= self._most:
            return True
        self._refused += 1
        if time.monotonic() >= self._silent_until:
            self._silent_until = time.monotonic() + REPORT_SECONDS
            _log.error(
                "the %s port takes no more connections, or file descriptors run out: %d are open, %d were refused",
                self._name,
                self._most,
                self._refused,
            )
        return False
