"""Lets a crowd through some at a time, so that the event loop comes to others in between."""

from __future__ import annotations

import asyncio
from collections import deque

PER_TURN = 8
"""Of the event loop. A stream takes some 0.3 ms to open: what is live waits 3 ms for a crowd, not for all of it."""


class Pacer:
    """Who comes alone is not held up; a crowd passes in the order in which it came."""

    def __init__(self, *, per_turn: int = PER_TURN) -> None:
        self._per_turn = per_turn
        self._left = per_turn
        self._turning = False
        self._waiting: deque[asyncio.Future[None]] = deque()

    async def enter(self) -> None:
        """Return when it is one's turn."""
        loop = asyncio.get_running_loop()
        if not self._turning:
            self._turning = True
            loop.call_soon(self._turn, loop)
        if self._left:
            self._left -= 1
            return
        turn = loop.create_future()
        self._waiting.append(turn)
        await turn

    def _turn(self, loop: asyncio.AbstractEventLoop) -> None:
        """The event loop has come round."""
        self._left = self._per_turn
        self._turning = bool(self._waiting)
        if self._turning:
            loop.call_soon(self._turn, loop)
        while self._left and self._waiting:
            turn = self._waiting.popleft()
            # Whoever was cancelled meanwhile takes no place.
            if not turn.done():
                turn.set_result(None)
                self._left -= 1
