"""The contract of a broker: it carries events between tasks, and keeps the recent ones.

Every broker is a ``Broker``. One that can lose live events on their way to a task is a ``DetectsLosses`` as well.
A broker is given its ``Listener`` and the ``Metrics`` when it is made. It runs on one event loop, which calls it and
which it calls.

It counts three things: ``events_stored`` once for each event stored, and ``duplicates`` for each event that comes again
(``dedupe.count_duplicate``). What else it counts is its own affair.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol, runtime_checkable

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
    """Its position: the store's epoch, an offset of its own, and ``model.cursor.digest`` of the event's id."""
    event: Event
    channels: tuple[str, ...]
    """All channels that it was published to."""
    size: int = field(default=0, compare=False)
    """Bytes that the broker counted it for, 0 if it does not count here. A string can grow later, so this is kept."""


@value
class Page:
    """The result of a replay."""

    entries: tuple[Entry, ...]
    """In the broker's order. An event of several of the channels is one entry."""
    upto: Cursor
    """Nothing at or below this position is missing, and no entry is above it.

    It is the broker's position, or the last entry read if there are more.
    """
    gap: GapReason | None = None
    """Why events between the given cursor and the first entry may be missing; None if none is."""
    more: bool = False
    """Whether there is more to read after ``upto`` now."""


class Listener(Protocol):
    """What a broker hands live events to. The Hub is one."""

    def __call__(self, entries: Sequence[Entry], /) -> None:
        """Take entries in the broker's order. Never waits, raises nothing.

        Calls are in order too: within an epoch, no entry has a lower offset than one of an earlier call. An entry comes
        once, not once for each of its channels. Entries of channels that nobody subscribed to are allowed.
        """
        ...


class Broker(Protocol):
    """One total order of events over all channels, with a bounded History of each channel.

    *Order.* Every event gets an offset of its own: ``max(last + 1, now)``, in microseconds of the store's clock, where
    ``last`` is the highest offset given out. The clock may jump; offsets never fall. A replay and the listener show the
    same events in the same order.

    *Epoch.* The name of the store's present life, made by ``model.cursor.new_epoch``. A store that may have lost events
    or bookkeeping begins a new epoch. Offsets go on above the earlier ones, if any are still known.

    *History.* A channel keeps its newest events, bounded in number and age; all channels together are bounded in bytes,
    with an allowance for each entry, so that events without text are bounded too. The age is measured in offsets, not
    by the clock. For each channel the broker knows its floor: the highest offset removed. One floor for several
    channels is allowed, and costs gaps that were not necessary.

    *Failure.* ``Unavailable`` means: try again later. Nothing else may be raised but what a method names. A call whose
    caller is cancelled may or may not have had its effect.
    """

    @property
    def trouble(self) -> str | None:
        """Why the broker does not work now; None if it works. Shown by ``/readyz``: no addresses, names or secrets."""
        ...

    async def check(self) -> None:
        """Raise InvalidSettings if the store must not be used. The task calls this once, before it starts.

        A store that does not answer is no reason to raise: log it, and let ``run`` wait for it.
        """
        ...

    async def run(self) -> None:
        """Hold the connections until cancelled; connect again whenever one is lost. The task calls this once.

        Until the store is reached, and while it is away, ``trouble`` says why, and the calls below that may raise
        Unavailable do. A broker that needs no connection may return at once.
        """
        ...

    async def publish(self, routes: Sequence[Route]) -> None:
        """Store the routes in order, and hand each new event to the listeners of its channels, in every task.

        Called once for each receive of the consumer, perhaps by several at a time. Returns when all are stored: only
        then are the messages deleted from the queue. An event reaches the listener through the broker also in the task
        that published it; a shortcut would break the order.

        Each event is stored in one atomic step: offset, History of all its channels, and the dedupe key. Idempotent:
        within the dedupe window, an event id with the same set of channels is stored once. When it comes again it is
        counted as a duplicate, whatever its type and data are then. The number of dedupe keys is bounded: beyond it the
        oldest is forgotten early.

        Raises Unavailable if it is not known whether all were stored. The caller then tries again with the same routes.
        """
        ...

    async def subscribe(self, channels: Sequence[str]) -> None:
        """Return when every event of these channels that is stored from now on will reach the listener.

        The catch-up calls this before it reads a new stream's History, so that nothing falls between the two.
        Idempotent. Raises Unavailable; the caller then tries again.
        """
        ...

    def unsubscribe(self, channel: str) -> None:
        """Take note that no stream needs the channel any more. Never waits, raises nothing.

        Called when the channel's last stream has ended. Events may still be handed over. To unsubscribe a little later
        is better: most streams come back within seconds.
        """
        ...

    async def replay(self, channels: Sequence[str], after: Cursor | None, limit: int) -> Page:
        """Read at most ``limit`` entries (at least 1) of the channels after a cursor.

        A stream that starts or falls behind is read in pages, the next one after ``upto``, until ``more`` is False. A
        page may hold fewer entries than the limit, also with ``more``, but it always goes forward.

        ``model.cursor.find_gap`` says whether the cursor can be continued, given the store's position and the highest
        floor of these channels. After a gap the page holds what is left after the cursor's offset. It holds everything
        left if the cursor is None (the client's could not be read) or its offset is in the future.

        Raises Unavailable.
        """
        ...

    async def position(self) -> Cursor:
        """Reserve the offset ``max(last, now)`` and return it: no later event gets an offset at or below it.

        Because the clock moves it, the position stays young on a silent system. Raises Unavailable.
        """
        ...

    def delivered(self) -> Cursor:
        """Return a position such that the listener was handed every event at or below it. Never waits, raises nothing.

        The timer tells it to idle streams, which resume from it. So it must never be ahead of the listener: not while
        an event is on its way from the store, nor while the listener is being called. It must stay young on a silent
        system, or idle streams find their position expired.
        """
        ...


@dataclass(frozen=True, slots=True)
class PossibleLoss:
    """A stretch of one channel that may hold an event which the stream was never offered."""

    channel: str
    after: int
    """Every event of the channel at or below this offset was offered."""
    upto: int
    """What is above this offset is read anyway: here the stream ceased to be live."""


class OnLost(Protocol):
    """What a broker tells that live events may have been lost on their way. The Hub's ``lost`` is one."""

    def __call__(self, complete: Mapping[str, int], /) -> None:
        """Let the streams of these channels read on from History. Never waits, raises nothing.

        Each channel stands with the offset up to which all its events were handed to the listener.
        """
        ...


@runtime_checkable
class DetectsLosses(Broker, Protocol):
    """A Broker whose live events can be lost between the store and the task, and which notices it.

    Such is a publish/subscribe service that delivers at most once. A broker that hands over every stored event, or
    delivers it again until it was taken, needs nothing of this.

    It is given an ``OnLost`` when it is made, and calls it as soon as an event may be missing, but before it hands over
    a later event of the same channels. Streams then read on from their own position. That position can lie above the
    lost event already, taken there by an event of another channel: for this case there is ``replay_after_loss``.
    """

    async def replay_after_loss(
        self, channels: Sequence[str], after: Cursor | None, limit: int, losses: Sequence[PossibleLoss]
    ) -> Page:
        """Do as ``replay`` does, and look into the possible losses first.

        A loss is real if History holds an entry of its channel in the stretch, or has removed one (its floor is above
        ``after``). If any is real, the page begins with the earliest, and its gap is LOST unless there is another.
        """
        ...
