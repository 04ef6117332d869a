"""The memory broker forgets channels as well as entries."""

import asyncio

from sse_service.brokers.base import Entry
from sse_service.brokers.memory import MemoryBroker
from sse_service.cursor import Cursor, GapReason
from sse_service.events import Event, Route


def test_the_channel_idle_longest_is_forgotten_and_its_cursor_is_a_gap() -> None:
    live: list[Entry] = []
    broker = MemoryBroker(listener=live.append, max_channels=2)
    asyncio.run(broker.publish([Route(Event(str(n), "x"), (f"user:{n}",)) for n in range(3)]))
    first = live[0].cursor
    page = asyncio.run(broker.replay(["user:0"], Cursor(first.epoch, first.offset - 1), 10))
    assert page.gap is GapReason.TRIMMED
    assert page.entries == ()
