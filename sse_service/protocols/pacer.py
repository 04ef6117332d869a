"""Lets a crowd of requests through a few at a time, so that the event loop serves everything else in between."""

from __future__ import annotations

import asyncio
from collections import deque

PER_TURN = 8
"""Requests for each turn of the event loop. A stream takes some 0.4 ms to open, so live events wait about 3 ms."""


class Pacer:
    """A single request passes at once. A crowd passes in the order in which it came."""

    def __init__(self, *, per_turn: int = PER_TURN) -> None:
        self._per_turn = per_turn
        self._left = per_turn
        self._turning = False
        self._waiting: deque[asyncio.Future[None]] = deque()

    async def wait(self) -> None:
        """Wait for a place."""
        loop = asyncio.get_running_loop()
        if not self._turning:
            self._turning = True
            loop.call_soon(self._turn, loop)
        if self._left:
            self._left -= 1
            return
        place = loop.create_future()
        self._waiting.append(place)
        await place

    def _turn(self, loop: asyncio.AbstractEventLoop) -> None:
        """Give out the places of the next turn of the event loop."""
        self._left = self._per_turn
        self._turning = bool(self._waiting)
        if self._turning:
            loop.call_soon(self._turn, loop)
        while self._left and self._waiting:
            place = self._waiting.popleft()
            # A request that was cancelled meanwhile takes no place.
            if not place.done():
                place.set_result(None)
                self._left -= 1
