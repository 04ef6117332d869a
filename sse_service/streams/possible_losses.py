"""What one stream may have missed below its position: another of its channels can take it past a loss."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sse_service.brokers.base import PossibleLoss

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


class PossibleLosses:
    """Collects what the next replay must ask of History besides what lies above the stream's position."""

    __slots__ = ("_covered", "_left", "_pending", "_verified")

    def __init__(self) -> None:
        # Offset at which the stream last ceased to be live.
        self._left = 0
        # Up to here all that may have been lost was asked for; a replay that asked makes it rise to where it joins.
        self._covered = 0
        self._verified = True
        self._pending: tuple[PossibleLoss, ...] = ()

    def left(self, offset: int) -> None:
        """Be told that the stream ceased to be live here."""
        self._left = offset
        self._verified = False

    def lost(self, channels: Sequence[str], complete: Mapping[str, int]) -> None:
        """Be told of channels that lost something, with the offsets up to which all of them was offered."""
        self._verified = True
        for channel in channels:
            sure = max(complete.get(channel, self._left), self._covered)
            if sure < self._left:
                self._pending += (PossibleLoss(channel, sure, self._left),)

    def take(self) -> tuple[PossibleLoss, ...]:
        """Give what is to be asked now."""
        pending, self._pending = self._pending, ()
        return pending

    def put_back(self, unanswered: tuple[PossibleLoss, ...]) -> None:
        """Be told that these could not be asked."""
        self._pending += unanswered

    def joined(self, offset: int) -> None:
        """Be told that the stream is live again from here."""
        if self._verified:
            self._covered = offset
