"""Which events a stream may have missed below its own position.

A stream with one channel never needs this: after a loss it reads on from its position, and finds the lost event there.
With several channels, a later event of another channel may have moved the position above the lost event.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sse_service.brokers.base import PossibleLoss

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


class PossibleLosses:
    """Collects the ranges of offsets that the stream's next replay must check in History.

    For example, a live stream has the channels ``user:1`` and ``group:ops``:

    ======  =============  =============================================
    offset  channel        what happens to the event
    ======  =============  =============================================
    10      ``user:1``     the stream gets it
    20      ``user:1``     it is lost between the store and the task
    30      ``group:ops``  the stream gets it, and its position is now 30
    ======  =============  =============================================

    The broker notices that something may be lost. It calls ``OnLost`` with ``{"user:1": 10}``: the task got all events
    of ``user:1`` up to 10. The stream stops being live at 30. A replay from 30 would skip 20, so the stream also asks
    History about ``PossibleLoss("user:1", after=10, upto=30)``. History has 20, so the loss is real: the stream sends
    ``stream.gap`` (``lost``), then 20 and 30. If History had no event of ``user:1`` in that range, nothing would be
    lost, and the stream would read on from 30 without a gap.
    """

    __slots__ = ("_covered", "_live_ended_at", "_pending", "_verified")

    def __init__(self) -> None:
        # The stream's position when it stopped being live: 30 in the example.
        self._live_ended_at = 0
        # All possible losses up to this offset were checked. A replay that checked them raises it when it goes live.
        self._covered = 0
        # Whether the present replay checks possible losses.
        self._verified = True
        self._pending: tuple[PossibleLoss, ...] = ()

    def live_ended(self, offset: int) -> None:
        """Record that the stream stopped being live at this position."""
        self._live_ended_at = offset
        self._verified = False

    def add(self, channels: Sequence[str], complete: Mapping[str, int]) -> None:
        """Record the possible losses in the stream's channels.

        ``complete`` maps each channel that may have lost events to the offset up to which the task got all of them.
        """
        self._verified = True
        for channel in channels:
            complete_upto = max(complete.get(channel, self._live_ended_at), self._covered)
            if complete_upto < self._live_ended_at:
                self._pending += (PossibleLoss(channel, complete_upto, self._live_ended_at),)

    def take(self) -> tuple[PossibleLoss, ...]:
        """Return the possible losses that the next page of the replay must check, and forget them."""
        pending, self._pending = self._pending, ()
        return pending

    def put_back(self, unchecked: tuple[PossibleLoss, ...]) -> None:
        """Keep possible losses for another page, because the page that should check them could not be read."""
        self._pending += unchecked

    def live_again(self, offset: int) -> None:
        """Record that the stream is live again from this position."""
        if self._verified:
            self._covered = offset
