"""A memory broker whose live events a test can lose. It implements ``DetectsLosses`` without a server."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace

from sse_service.brokers.base import Page, PossibleLoss
from sse_service.brokers.memory.broker import MemoryBroker
from sse_service.model.cursor import Cursor
from sse_service.model.reasons import GapReason


class LossyBroker(MemoryBroker):
    """Stores every event, but does not always pass it to the listener."""

    @contextmanager
    def losing(self) -> Iterator[None]:
        """Events that are published in this block are stored, but not passed to the listener."""
        listener, self._listener = self._listener, lambda _: None
        try:
            yield
        finally:
            self._listener = listener

    async def replay_after_loss(
        self, channels: Sequence[str], after: Cursor | None, limit: int, losses: Sequence[PossibleLoss]
    ) -> Page:
        page = await self.replay(channels, after, limit)
        lost = [offset for loss in losses if (offset := self._first_lost(loss)) is not None]
        if lost and page.gap is None:
            page = await self.replay(channels, Cursor(page.upto.epoch, min(lost) - 1), limit)
            return replace(page, gap=GapReason.LOST)
        return page

    def _first_lost(self, loss: PossibleLoss) -> int | None:
        history = self._histories.get(loss.channel)
        if loss.after < max(self._floor, history.floor if history else 0):
            return loss.after + 1
        offsets = [entry.cursor.offset for entry in (history.after(loss.after, 1) if history else [])]
        return next((offset for offset in offsets if offset <= loss.upto), None)
