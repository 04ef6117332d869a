"""One slow reader's bounded queue of Frames."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sse_service.protocols.sse.frames import Frame


@dataclass(frozen=True, slots=True, kw_only=True)
class QueueLimits:
    """What one slow reader may cost."""

    events: int = 100
    bytes: int = 262_144


class Backlog:
    """Made when a Sink first holds back, and thrown away when it is empty: most streams never have one."""

    __slots__ = ("_bytes", "_limits", "_queue")

    def __init__(self, limits: QueueLimits) -> None:
        self._limits = limits
        self._queue: asyncio.Queue[Frame] = asyncio.Queue(limits.events)
        self._bytes = 0

    def __bool__(self) -> bool:
        """Whether anything is in it."""
        return not self._queue.empty()

    def put(self, frame: Frame) -> bool:
        """Queue a Frame; False: it is full. Empty, it takes one of any size, or a maximal event would never pass."""
        size = len(frame.chunk)
        if self._queue.full() or (self and self._bytes + size > self._limits.bytes):
            return False
        self._queue.put_nowait(frame)
        self._bytes += size
        return True

    def take(self) -> Frame:
        """Give the oldest Frame; raises asyncio.QueueEmpty."""
        frame = self._queue.get_nowait()
        self._bytes -= len(frame.chunk)
        return frame
