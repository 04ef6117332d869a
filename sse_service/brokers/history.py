"""A channel's recent entries, bounded in number and age, with the floor below which some are gone."""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sse_service.brokers.base import Entry
    from sse_service.events import Event


ENTRY_BYTES = 512
"""What an entry takes beside its text: measured at 406 bytes with CPython 3.11, and a place in the list."""


@dataclass(slots=True, kw_only=True)
class History:
    """The entries of one channel, oldest first."""

    max_events: int
    age_us: int
    """Microseconds of offset time that an entry is kept."""
    floor: int = 0
    """Highest offset removed."""
    last: int = field(default=0, init=False)
    """Highest offset appended."""
    entries: list[Entry] = field(default_factory=list)
    sizes: list[int] = field(default_factory=list)
    """Of each entry, as it was counted: a string grows when somebody asks for its UTF-8, which it keeps."""
    oldest: int = field(default=0, init=False)
    """Offset of the first entry, beside it: at an append nothing else of an old entry need be looked at."""

    def append(self, entry: Entry, bytes_: int) -> int:
        """Take the newest entry, and return by how many bytes this has grown, or shrunk where older ones left."""
        entries, now = self.entries, entry.cursor.offset
        if not entries:
            self.oldest = now
        entries.append(entry)
        self.sizes.append(bytes_)
        self.last = now
        over = len(entries) - self.max_events
        if over <= 0 and self.oldest >= now - self.age_us:
            return bytes_
        return bytes_ - self._remove(max(over, 0)) - self.expire(now)

    def expire(self, now: int) -> int:
        """Remove what is older than the age, and return its bytes."""
        since = now - self.age_us
        if not self.entries or self.oldest >= since:
            return 0
        return self._remove(bisect_right(self.entries, since - 1, key=_offset))

    def drop_oldest(self) -> int:
        """Remove the oldest entry, and return its bytes."""
        return self._remove(1)

    def after(self, offset: int, limit: int) -> list[Entry]:
        """At most ``limit`` entries above the offset."""
        start = bisect_right(self.entries, offset, key=_offset)
        return self.entries[start : start + limit]

    def _remove(self, count: int) -> int:
        gone, bytes_ = self.entries[:count], sum(self.sizes[:count])
        if gone:
            del self.entries[:count], self.sizes[:count]
            self.floor = gone[-1].cursor.offset
            if self.entries:
                self.oldest = self.entries[0].cursor.offset
        return bytes_


def size(event: Event) -> int:
    """Bytes of memory that an entry of the event counts for, in each of its channels.

    Not the UTF-8 length: one character outside Latin-1 doubles what a Python string takes, an emoji makes it fourfold.
    """
    # A tenth of the time of sys.getsizeof, which adds what the garbage collector needs: nothing for a text
    texts = event.id.__sizeof__() + event.data.__sizeof__()
    return ENTRY_BYTES + texts + event.type.__sizeof__() + event.subject.__sizeof__() + event.time.__sizeof__()


def _offset(entry: Entry) -> int:
    return entry.cursor.offset
