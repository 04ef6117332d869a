"""Reads History for the streams that are behind: a page for each in turn, a bounded number at a time."""

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
from sse_service.streams.frame import frame

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from sse_service.brokers.base import Broker, Page, PossibleLoss
    from sse_service.streams.start import Start
    from sse_service.streams.subscription import Subscription
    from sse_service.telemetry.metrics import Metrics

    Greet = Callable[[Subscription, Start], Awaitable[Page]]

PAGE_EVENTS = 100
"""Events read at a time. Between two pages every other stream has its turn."""

WORKERS = 8
"""Streams whose broker calls are under way at the same time."""

RETRY_SECONDS = 1.0
"""Between two tries while the broker is unavailable, with jitter."""

_log = logging.getLogger(__name__)


class CatchUp:
    """The one path by which a stream comes from *replaying* to *live*.

    It makes every broker call for a stream. A request's own task makes none: a client that leaves would cancel the call
    half-way.
    """

    def __init__(self, *, broker: Broker, metrics: Metrics, greet: Greet) -> None:
        """``greet`` takes a new stream's first turn: it subscribes, greets the client and gives the first page."""
        self._broker = broker
        # Only such a broker reports losses.
        self._detector = broker if isinstance(broker, DetectsLosses) else None
        self._metrics = metrics
        self._greet = greet
        # Each open stream is in the queue or in a worker's hands at most once, which bounds both.
        self._behind: asyncio.Queue[Subscription] = asyncio.Queue()
        self._waiting: set[Subscription] = set()

    def add(self, subscription: Subscription) -> None:
        """Take a stream that is behind and whose Sink takes more. Idempotent."""
        if subscription not in self._waiting:
            self._waiting.add(subscription)
            self._behind.put_nowait(subscription)

    async def run(self) -> None:
        """Work until cancelled."""
        async with asyncio.TaskGroup() as workers:
            for _ in range(WORKERS):
                workers.create_task(self._work())

    async def _work(self) -> None:
        while True:
            subscription = await self._behind.get()
            try:
                done = subscription.closed or await self._turn(subscription)
            except Unavailable:
                await asyncio.sleep(RETRY_SECONDS * random.uniform(0.5, 1.5))  # noqa: S311  spreads load
                done = False
            except Exception:
                _log.exception("a stream failed while it was reading from history, and was closed")
                subscription.cut(CloseReason.ERROR)
                done = True
            self._waiting.discard(subscription)
            if not (done or subscription.closed or subscription.held):
                self.add(subscription)
            # The queue's get() does not suspend while the queue has an entry, and live events need their turn too.
            if not self._behind.empty():
                await asyncio.sleep(0)

    async def _turn(self, subscription: Subscription) -> bool:
        """Read and write one page; True: the stream is live."""
        losses = subscription.reading()
        position_known = False
        if (start := subscription.start) is not None:
            page = await self._greet(subscription, start)
            reason = page.gap
            position_known = start.live
        else:
            try:
                page = await self._replay(subscription, losses)
            except Unavailable:
                subscription.unread(losses)
                raise
            # A stream that was complete until now can lose events to another epoch, or to a History that overtook it.
            reason = page.gap if page.gap in (None, GapReason.EPOCH) else GapReason.LOST
        if reason is not None:
            self._metrics.gaps.labels(reason).inc()
            before = before_first(page)
            subscription.begin(before)
            subscription.tell(service_events.gap(reason, before))
        return self._write(subscription, page, position_known=position_known)

    async def _replay(self, subscription: Subscription, losses: Sequence[PossibleLoss]) -> Page:
        if losses and self._detector is not None:
            return await self._detector.replay_after_loss(subscription.channels, subscription.last, PAGE_EVENTS, losses)
        return await self._broker.replay(subscription.channels, subscription.last, PAGE_EVENTS)

    def _write(self, subscription: Subscription, page: Page, *, position_known: bool) -> bool:
        for entry in page.entries:
            if not subscription.replayed(frame(entry.event, entry.cursor)):
                return False
        if page.more or not subscription.join(page.upto):
            return False
        if not position_known:
            subscription.tell(service_events.position(page.upto))
        self._metrics.replay_events.observe(subscription.take_replayed())
        return True


def before_first(page: Page) -> Cursor:
    """The position from which a page that follows a gap is complete."""
    if not page.entries:
        return page.upto
    first = page.entries[0].cursor
    return Cursor(first.epoch, first.offset - 1)
