"""The published events: each holds its time, its number and its user, which ``load.c`` checks."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Callable

SIZE = 128
"""Bytes of an event's data."""


class Numbers:
    """Numbers the events of each user."""

    def __init__(self) -> None:
        self._next: Counter[int] = Counter()

    def take(self, user: int) -> int:
        """The number of the user's next event."""
        number = self._next[user]
        self._next[user] = number + 1
        return number


def payload(at: int, number: int, user: int) -> str:
    """The data of an event; ``at`` is when it was due, in nanoseconds of the monotonic clock."""
    return f'{{"t":{at},"n":{number},"u":{user},"pad":"'.ljust(SIZE - 2, "x") + '"}'


async def pace(count: int, per_second: int, put: Callable[[int, int], object]) -> None:
    """Call ``put`` with 0, 1, … and the time at which each is due; a late call keeps its due time."""
    loop, began = asyncio.get_running_loop(), time.monotonic_ns()

    def tick() -> None:
        # In a thread of its own: timers of uvloop have milliseconds and would send two events at a time.
        for number in range(count):
            due = began + number * 1_000_000_000 // per_second
            if (early := due - time.monotonic_ns()) > 0:
                time.sleep(early / 1e9)
            loop.call_soon_threadsafe(put, number, due)

    await asyncio.to_thread(tick)
