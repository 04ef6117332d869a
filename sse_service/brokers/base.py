"""The contract of a broker: it carries events between tasks, and keeps the recent ones.

Every broker implements ``Broker``. A broker that can lose live events on their way to a task also implements
``DetectsLosses``. The constructor gets a ``Listener``, the task's ``Revocations``, an ``OnRevoked``, and the
``Metrics``. All calls to and from a broker are made on one event loop.

A broker counts ``events_stored`` for each stored event, and ``duplicates`` for each repeated event
(``dedupe.count_duplicate``). It may count other things as well.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol, runtime_checkable

from sse_service.model.values import value

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from sse_service.model.cursor import Cursor
    from sse_service.model.events import Event, Route
    from sse_service.model.reasons import GapReason
    from sse_service.model.revocations import Revocation


@value
class Entry:
    """An Event as the broker stored it."""

    cursor: Cursor
    """The store's epoch, this entry's own offset, and the ``model.cursor.digest`` of the event's id."""
    event: Event
    channels: tuple[str, ...]
    """All channels that the event was published to."""
    size: int = field(default=0, compare=False)
    """Bytes that the broker counted for this entry, if it keeps count here. Kept, because a string can grow later."""


@value
class Page:
    """The result of a replay."""

    entries: tuple[Entry, ...]
    """In the broker's order. An event that went to several of the channels is one entry."""
    upto: Cursor
    """Nothing at or below this position is missing, and no entry is above it.

    It is the broker's position, or the last entry read if there are more.
    """
    gap: GapReason | None = None
    """Why events between the given cursor and the first entry may be missing; None if none are."""
    more: bool = False
    """Whether there is more to read after ``upto`` now."""


class Listener(Protocol):
    """Receives live events from a broker. ``Hub.dispatch`` is one."""

    def __call__(self, entries: Sequence[Entry], /) -> None:
        """Take entries in the broker's order. Never waits and never raises.

        Calls are in order too: within an epoch, no entry has a lower offset than one of an earlier call. An entry comes
        once, not once per channel. Entries of channels without a subscription are allowed.
        """
        ...


class Revocations(Protocol):
    """The revocations that this task knows. ``RevocationTable`` is one. Its methods never wait and never raise."""

    def merge(self, revocations: Iterable[Revocation], /) -> list[Revocation]:
        """Add revocations. Returns those that changed anything. Order and repetition do not matter."""
        ...

    def entries(self) -> list[Revocation]:
        """Return all that are held."""
        ...

    def expire(self) -> list[str]:
        """Forget what has expired. Returns the keys."""
        ...


class OnRevoked(Protocol):
    """Called by a broker when the task's Revocations have changed. ``StreamRegistry.end_revoked`` is one."""

    def __call__(self, revocations: Sequence[Revocation], /) -> object:
        """End the streams that are revoked now. Never waits and never raises."""
        ...


class Broker(Protocol):
    """One total order of events over all channels, with a bounded History of each channel.

    *Order.* Every event gets an offset of its own: ``max(last + 1, now)``, in microseconds of the store's clock, where
    ``last`` is the highest offset given out. The clock may jump; offsets never fall. A replay and the listener show the
    same events in the same order.

    *Epoch.* Names the present life of the store; ``model.cursor.new_epoch`` makes the name. A store that may have lost
    events or metadata begins a new epoch. Its offsets continue above the earlier ones, if any are still known.

    *History.* A channel keeps its newest events, bounded in number and age; all channels together are bounded in bytes,
    with an overhead per entry, so that events without text are bounded too. Age is measured in offsets, not by the
    clock. The broker keeps a floor for each channel: the highest offset that was removed. Several channels may share a
    floor, at the cost of unnecessary gaps.

    *Revocations.* The store keeps the revocations until they expire, bounded in number, and the broker keeps the task's
    ``Revocations`` equal to the store's. Whatever comes from the store is merged, and what that changed is given to the
    ``OnRevoked``. A task has all of them within 5 s. One that was away has them as soon as ``trouble`` is None again,
    and one that starts as soon as ``trouble`` is None for the first time. If the store may have lost some, each task
    stores again what it has. Trouble with revocations never holds up events.

    *Failure.* ``Unavailable`` means: try again later. Methods raise nothing else unless their docstring names it. If
    the caller of a method is cancelled, the call may or may not have taken effect.
    """

    @property
    def trouble(self) -> str | None:
        """Why the broker does not work now; None if it works.

        ``/readyz`` shows it, so it contains no addresses, names or secrets.
        """
        ...

    async def check(self) -> None:
        """Raise InvalidSettings if the store must not be used. The task calls this once, before it starts.

        If the store does not answer, log it and return: ``run`` waits for the store.
        """
        ...

    async def run(self) -> None:
        """Keep the connections open until cancelled, and reconnect when one is lost. The task calls this once.

        Until the store is reached, and while it cannot be, ``trouble`` says why, and the methods below that may raise
        Unavailable raise it. A broker without connections may return at once.
        """
        ...

    async def publish(self, routes: Sequence[Route]) -> None:
        """Store the routes in order, and hand each new event to the listeners of its channels, in every task.

        Called once for each receive of the consumer, possibly concurrently. Returns when all routes are stored; only
        then are the messages deleted from the queue. The task that publishes an event also gets it through the broker,
        because a shortcut to its own listener would break the order.

        Each event is stored in one atomic step: offset, History of all its channels, and dedupe key. Idempotent: within
        the dedupe window, an event id with the same set of channels is stored once. A repeated one is counted as a
        duplicate, even if its type or data differ. The number of dedupe keys is bounded: at the limit, the oldest is
        forgotten early.

        Raises Unavailable if it is unknown whether all were stored. The caller then tries again with the same routes.
        """
        ...

    async def subscribe(self, channels: Sequence[str]) -> None:
        """Return when every event of these channels that is stored from now on will reach the listener.

        The catch-up calls this before it reads a new stream's History, so that no event is missed between the two.
        Idempotent. Raises Unavailable; the caller then tries again.
        """
        ...

    def unsubscribe(self, channel: str) -> None:
        """Note that no stream needs the channel any more. Never waits and never raises.

        Called when the channel's last stream has ended. The listener may still get its events. It is better to
        unsubscribe with a delay, because most clients reconnect within seconds.
        """
        ...

    async def replay(self, channels: Sequence[str], after: Cursor | None, limit: int) -> Page:
        """Read at most ``limit`` entries (at least 1) of the channels after a cursor.

        A stream that starts or falls behind is read in pages: the next page starts after ``upto``, until ``more`` is
        False. A page may have fewer entries than the limit, even with ``more``, but ``upto`` always advances.

        ``model.cursor.find_gap`` decides whether the cursor can be continued, given the store's position and the
        highest floor of these channels. After a gap, the page has what is left after the cursor's offset. It has
        everything left if the cursor is None (the client's could not be read) or its offset is in the future.

        Raises Unavailable.
        """
        ...

    async def position(self) -> Cursor:
        """Reserve the offset ``max(last, now)`` and return it: no later event gets an offset at or below it.

        The position follows the clock, so it stays young on a silent system. Raises Unavailable.
        """
        ...

    async def revoke(self, revocations: Sequence[Revocation]) -> None:
        """Merge revocations here at once, store them, and let every task have them within 5 s. Idempotent.

        Returns when they are stored. Raises Unavailable if the store did not confirm; the caller tells its client to
        try again. They hold in this task all the same, and the broker stores them when it can, without another call.
        """
        ...

    def delivered(self) -> Cursor:
        """Return a position for which the listener has got every event at or below it. Never waits and never raises.

        The timer sends it to idle streams, which resume from it. So it must never be ahead of the listener, neither
        while an event is on its way from the store nor while the listener is running. It must stay young on a silent
        system, or the positions of idle streams expire.
        """
        ...


@dataclass(frozen=True, slots=True)
class PossibleLoss:
    """A range of offsets in one channel that may contain an event that the stream was never offered."""

    channel: str
    after: int
    """Every event of the channel at or below this offset was offered."""
    upto: int
    """The range ends here, where the stream stopped being live. The replay reads everything above it anyway."""


class OnLost(Protocol):
    """Called by a broker when live events may have been lost on their way. ``Hub.lost`` is one."""

    def __call__(self, complete: Mapping[str, int], /) -> None:
        """Let the streams of these channels go on from History. Never waits and never raises.

        ``complete`` maps each channel to the offset up to which the listener got all its events.
        """
        ...


@runtime_checkable
class DetectsLosses(Broker, Protocol):
    """A Broker that can lose live events between the store and the task, and that notices such losses.

    An example is a pub/sub service with at-most-once delivery. A broker that delivers every stored event, or redelivers
    it until it was taken, does not need this.

    The constructor gets an ``OnLost``. The broker calls it as soon as an event may be missing, and before it hands over
    a later event of the same channels. Streams then read on from their own position. An event of another channel may
    already have moved that position above the lost event. ``replay_after_loss`` handles this case.
    """

    async def replay_after_loss(
        self, channels: Sequence[str], after: Cursor | None, limit: int, losses: Sequence[PossibleLoss]
    ) -> Page:
        """Check the possible losses, then do the same as ``replay``.

        A loss is real if History has an entry of its channel in the range, or may have removed one (the floor is above
        ``PossibleLoss.after``). If any loss is real, the page begins with the earliest one, and its gap is LOST unless
        there is another gap.
        """
        ...
