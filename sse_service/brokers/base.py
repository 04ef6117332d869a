"""The Broker contract."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

from sse_service.model.values import value

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from sse_service.model.cursor import Cursor
    from sse_service.model.events import Event, Route
    from sse_service.model.reasons import GapReason


@value
class Entry:
    """An Event as the broker stored it."""

    cursor: Cursor
    event: Event
    channels: tuple[str, ...]
    size: int = field(default=0, compare=False)
    """Bytes that it was counted for, 0 where nobody counts; kept, because a string may grow after that."""


@value
class Page:
    """What a replay gave."""

    entries: tuple[Entry, ...]
    """In the broker's order, each once, whatever number of the asked channels it went to."""
    upto: Cursor
    """Nothing at or below this is missing, and no entry is above it: the last entry read where there are more, else
    the broker's position."""
    gap: GapReason | None = None
    """Why what lies between the given cursor and the first entry may not be complete."""
    more: bool = False
    """Whether there is more to read after ``upto`` now."""


@dataclass(frozen=True, slots=True)
class PossibleLoss:
    """A stretch of a channel of which it is not known that all of it was shown."""

    channel: str
    after: int
    """Everything at or below this offset was."""
    upto: int
    """What is above is read anyway."""


class Listener(Protocol):
    """What a broker hands live events to."""

    def __call__(self, entries: Sequence[Entry], /) -> None:
        """Take entries, in the broker's order as are the calls; never waits, raises nothing."""
        ...


class OnLost(Protocol):
    """What a broker tells that events may have been lost between it and its listener."""

    def __call__(self, complete: Mapping[str, int], /) -> None:
        """Read these channels again from History; called before anything later is handed over.

        With each channel stands the offset up to which everything of it was handed over.
        """
        ...


class Broker(Protocol):
    """One total order of events over all channels, with bounded history."""

    @property
    def trouble(self) -> str | None:
        """Why it does not work now, None where it does; no text that an outsider may not see."""
        ...

    async def run(self) -> None:
        """Hold what it needs until cancelled; without it everything else raises Unavailable."""
        ...

    async def publish(self, routes: Sequence[Route]) -> None:
        """Store all Routes of one receive, in order, and hand each to the listeners of its channels.

        Returns when all are stored. Idempotent: within the dedupe window an event id with the same channels is
        stored once. Raises Unavailable when nothing can be said of what was stored; calling again is safe.
        """
        ...

    async def subscribe(self, channels: Sequence[str]) -> None:
        """Return when every event stored from now on for the channels reaches the listener. Raises Unavailable.

        Idempotent. A broker that may have lost some on the way says so by its ``on_lost``, before it hands over
        anything later.
        """
        ...

    def unsubscribe(self, channel: str) -> None:
        """Say that the channel's events are wanted no more; one or more may still come."""
        ...

    async def replay(
        self, channels: Sequence[str], after: Cursor | None, limit: int, doubts: Sequence[PossibleLoss] = ()
    ) -> Page:
        """Give at most ``limit`` entries, 1 or more, of the channels after a cursor; after a gap, since its time.

        A None for the cursor is one that could not be read: a gap, and all that is held. Where an entry stands in one
        of the ``doubts``, that is a gap (LOST), and what is given begins with it. Raises Unavailable.
        """
        ...

    async def position(self) -> Cursor:
        """Reserve and give a position: no later event gets an offset at or below it. Raises Unavailable."""
        ...

    def delivered(self) -> Cursor:
        """Give a position at or below which the listener was handed every event of its channels already.

        Never ahead of the listener, so that a stream which was offered all that the listener got may tell it to its
        client. It stays young on a silent system. Never waits, raises nothing.
        """
        ...
