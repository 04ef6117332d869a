"""Reads History for streams that are behind: one page per stream in turn, for a bounded number of streams at once."""

from __future__ import annotations

import asyncio
import logging
import random
from typing import TYPE_CHECKING

from sse_service.brokers.base import DetectsLosses
from sse_service.model.cursor import Cursor
from sse_service.model.errors import Unavailable
from sse_service.model.reasons import CloseReason, GapReason
from sse_service.streams import service_events
from sse_service.streams.frame import make_frame

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from sse_service.brokers.base import Broker, Page, PossibleLoss
    from sse_service.streams.start import Start
    from sse_service.streams.subscription import Subscription
    from sse_service.telemetry.metrics import Metrics

    Greet = Callable[[Subscription, Start], Awaitable[Page]]

PAGE_EVENTS = 100
"""Events in a page. Between two pages of a stream, the other streams get a turn."""

WORKERS = 8
"""How many streams read from the broker at the same time."""

RETRY_SECONDS = 1.0
"""Pause before a retry while the broker is unavailable, with jitter."""

_log = logging.getLogger(__name__)


class CatchUp:
    """The only path by which a stream gets from *replaying* to *live*.

    Its workers make all broker calls for a stream. The task of a request makes none, because a client that disconnects
    would cancel the call halfway.
    """

    def __init__(self, *, broker: Broker, metrics: Metrics, greet: Greet, clock: Callable[[], float]) -> None:
        """``greet`` handles a new stream's first turn: it subscribes, greets the client, and returns the first page.

        ``clock`` is the timer's.
        """
        self._broker = broker
        # Only a broker that detects losses reports any.
        self._loss_detector = broker if isinstance(broker, DetectsLosses) else None
        self._metrics = metrics
        self._greet = greet
        self._clock = clock
        # An open stream is queued or being read at most once, so the number of open streams bounds the queue.
        self._behind: asyncio.Queue[Subscription] = asyncio.Queue()
        self._waiting: set[Subscription] = set()

    def add(self, subscription: Subscription) -> None:
        """Queue a stream that is behind and whose Sink accepts more. Idempotent."""
        if subscription not in self._waiting:
            self._waiting.add(subscription)
            self._behind.put_nowait(subscription)

    async def run(self) -> None:
        """Read for the queued streams until cancelled."""
        async with asyncio.TaskGroup() as workers:
            for _ in range(WORKERS):
                workers.create_task(self._work())

    async def _work(self) -> None:
        while True:
            subscription = await self._behind.get()
            try:
                done = subscription.closed or await self._read_and_write_page(subscription)
            except Unavailable:
                await asyncio.sleep(RETRY_SECONDS * random.uniform(0.5, 1.5))  # noqa: S311  spreads load
                done = False
            except Exception:
                _log.exception("a stream was closed because reading its history failed")
                subscription.cut(CloseReason.ERROR)
                done = True
            self._waiting.discard(subscription)
            if not (done or subscription.closed or subscription.paused):
                self.add(subscription)
            # get() does not suspend while the queue has an entry, so yield here to let live events through.
            if not self._behind.empty():
                await asyncio.sleep(0)

    async def _read_and_write_page(self, subscription: Subscription) -> bool:
        """Read and write one page. Returns True if the stream is now live."""
        losses = subscription.begin_page()
        position_known = False
        if (start := subscription.start) is not None:
            page = await self._greet(subscription, start)
            reason = page.gap
            position_known = start.live
        else:
            try:
                page = await self._replay(subscription, losses)
            except Unavailable:
                subscription.page_failed(losses)
                raise
            # The stream was complete so far. So a gap now means a new epoch, or that the stream lost events.
            reason = page.gap if page.gap in (None, GapReason.EPOCH) else GapReason.LOST
        if reason is not None:
            self._metrics.gaps.labels(reason).inc()
            start_of_page = complete_from(page)
            subscription.replay_from(start_of_page)
            subscription.write_service_event(service_events.gap(reason, start_of_page), at=self._clock())
        return self._write_page(subscription, page, position_known=position_known)

    async def _replay(self, subscription: Subscription, losses: Sequence[PossibleLoss]) -> Page:
        if losses and self._loss_detector is not None:
            return await self._loss_detector.replay_after_loss(
                subscription.channels, subscription.position, PAGE_EVENTS, losses
            )
        return await self._broker.replay(subscription.channels, subscription.position, PAGE_EVENTS)

    def _write_page(self, subscription: Subscription, page: Page, *, position_known: bool) -> bool:
        now = self._clock()
        for entry in page.entries:
            if not subscription.write_replayed(make_frame(entry.event, entry.cursor, at=now)):
                return False
        if page.more or not subscription.go_live(page.upto):
            return False
        if not position_known:
            subscription.write_service_event(service_events.position(page.upto), at=now)
        self._metrics.replay_events.observe(subscription.take_replayed())
        return True


def complete_from(page: Page) -> Cursor:
    """Return the position just before the page. After a gap, nothing that follows this position is missing."""
    if not page.entries:
        return page.upto
    first = page.entries[0].cursor
    return Cursor(first.epoch, first.offset - 1)
