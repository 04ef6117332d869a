"""One slow reader's bounded queue of Frames."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sse_service.streams.frame import Frame


@dataclass(frozen=True, slots=True, kw_only=True)
class QueueLimits:
    """How much may be queued for one slow reader."""

    events: int = 100
    bytes: int = 262_144


class Backlog:
    """The queue of one stream. It exists only while the Sink holds back, so most streams never need one."""

    __slots__ = ("_bytes", "_limits", "_queue")

    def __init__(self, limits: QueueLimits) -> None:
        self._limits = limits
        self._queue: asyncio.Queue[tuple[Frame, int]] = asyncio.Queue(limits.events)
        self._bytes = 0

    def __bool__(self) -> bool:
        """Whether a Frame is queued."""
        return not self._queue.empty()

    def put(self, frame: Frame, size: int) -> bool:
        """Queue a Frame that takes ``size`` bytes. Returns False if the queue is full.

        An empty queue takes a Frame of any size. Otherwise an event of the maximum size could never pass.
        """
        if self._queue.full() or (self and self._bytes + size > self._limits.bytes):
            return False
        self._queue.put_nowait((frame, size))
        self._bytes += size
        return True

    def take(self) -> Frame:
        """Remove and return the oldest Frame. Raises asyncio.QueueEmpty."""
        frame, size = self._queue.get_nowait()
        self._bytes -= size
        return frame
