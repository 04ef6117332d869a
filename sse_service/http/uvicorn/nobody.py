"""What stands in a stream's connection for what only a request needs, the same for all of them."""

from __future__ import annotations

from collections import deque
from typing import Any


class Nobody:
    """Stands for an event that is set, and waited for by nobody."""

    __slots__ = ()

    def set(self) -> None:
        """Wake nobody."""


NOBODY = Nobody()

NOTHING_WAITS: deque[Any] = deque(maxlen=0)
"""For a queue of requests."""
