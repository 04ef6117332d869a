"""What a stream may have missed below its position.

An event of one channel can move the stream's position past a lost event of another channel.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sse_service.brokers.base import PossibleLoss

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


class PossibleLosses:
    """Collects the stretches below the stream's position that the next replay must check in History."""

    __slots__ = ("_covered", "_live_ended_at", "_pending", "_verified")

    def __init__(self) -> None:
        # Offset at which the stream was last live.
        self._live_ended_at = 0
        # All possible losses up to this offset were checked. A replay that checked them raises it when it goes live.
        self._covered = 0
        # Whether the present replay checks the possible losses.
        self._verified = True
        self._pending: tuple[PossibleLoss, ...] = ()

    def live_ended(self, offset: int) -> None:
        """Record that the stream stopped being live at this offset."""
        self._live_ended_at = offset
        self._verified = False

    def add(self, channels: Sequence[str], complete: Mapping[str, int]) -> None:
        """Record possible losses. ``complete`` maps a channel to the offset up to which all its events were offered."""
        self._verified = True
        for channel in channels:
            complete_upto = max(complete.get(channel, self._live_ended_at), self._covered)
            if complete_upto < self._live_ended_at:
                self._pending += (PossibleLoss(channel, complete_upto, self._live_ended_at),)

    def take(self) -> tuple[PossibleLoss, ...]:
        """Return the possible losses that the next page must check, and clear the list."""
        pending, self._pending = self._pending, ()
        return pending

    def put_back(self, unchecked: tuple[PossibleLoss, ...]) -> None:
        """Keep these for another page, because this one could not be read."""
        self._pending += unchecked

    def live_again(self, offset: int) -> None:
        """Record that the stream is live again from this offset."""
        if self._verified:
            self._covered = offset
