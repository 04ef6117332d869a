"""Reads History for the streams that are behind: a page for each in turn, a bounded number at once."""

from __future__ import annotations

import asyncio
import logging
import random
from typing import TYPE_CHECKING

from sse_service.model.cursor import Cursor, ago
from sse_service.model.errors import Unavailable
from sse_service.model.reasons import CloseReason, GapReason
from sse_service.protocols.sse import frames

if TYPE_CHECKING:
    from sse_service.brokers.base import Broker, Page
    from sse_service.streams.start import Start
    from sse_service.streams.subscription import Subscription
    from sse_service.telemetry.metrics import Metrics

PAGE_EVENTS = 100
"""Entries read at a time; between two pages every other stream has its turn."""

WORKERS = 8
"""Streams whose broker calls are in flight together."""

RETRY_SECONDS = 1.0
"""Between two tries while the broker is away, with jitter."""

_log = logging.getLogger(__name__)


class CatchUp:
    """The one path by which a stream comes from *replaying* to *live*.

    No broker call is made in a request's task: a client that leaves would cancel it half-way.
    """

    def __init__(self, *, broker: Broker, metrics: Metrics) -> None:
        self._broker = broker
        self._metrics = metrics
        # Bounded by the number of open streams: each is in it at most once.
        self._behind: asyncio.Queue[Subscription] = asyncio.Queue()

    def add(self, subscription: Subscription) -> None:
        """Take a stream that is behind and whose Sink takes more."""
        if not subscription.waiting:
            subscription.waiting = True
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
                live = await self._turn(subscription)
            except Unavailable:
                await asyncio.sleep(RETRY_SECONDS * random.uniform(0.5, 1.5))  # noqa: S311  spreads load
                live = False
            except Exception:
                _log.exception("a stream failed while it was caught up")
                subscription.cut(CloseReason.ERROR)
                live = True
            subscription.waiting = False
            if not live and not subscription.closed and not subscription.held:
                self.add(subscription)
            # The queue's get() does not suspend while it has something: live events must have their turn too.
            if not self._behind.empty():
                await asyncio.sleep(0)

    async def _turn(self, subscription: Subscription) -> bool:
        """Write one page; True: the stream is live, or over."""
        if subscription.closed:
            return True
        quiet = False
        doubts = subscription.reading()
        if subscription.start is not None:
            # ``stream.ready`` told the position already
            quiet = subscription.start.live
            page = await self._open(subscription, subscription.start)
        else:
            try:
                page = await self._broker.replay(subscription.channels, subscription.last, PAGE_EVENTS, doubts)
            except Unavailable:
                subscription.unread(doubts)
                raise
            if page.gap is not None:
                reason = GapReason.EPOCH if page.gap is GapReason.EPOCH else GapReason.LOST
                self._tell_gap(subscription, page, reason)
        return self._write(subscription, page, quiet=quiet)

    async def _open(self, subscription: Subscription, start: Start) -> Page:
        """Subscribe, then read from where the client wants to begin, and greet it."""
        await self._broker.subscribe(subscription.channels)
        after = start.cursor
        if not start.resumes and not start.held:
            after = ago(await self._broker.position(), start.ago_seconds or 0)
        page = await self._broker.replay(subscription.channels, after, PAGE_EVENTS)
        gap = None if start.held else page.gap
        subscription.tell(
            frames.ready(
                resumed=start.resumes and gap is None,
                user=subscription.principal.user,
                # randint takes four times as long, at each opening
                retry_ms=int(random.uniform(1000, 5000)),  # noqa: S311  spreads load
                cursor=after if start.live else None,
            ),
            after if start.live else None,
        )
        subscription.begin(after if after is not None and page.gap is None else _before(page))
        if gap is not None:
            self._tell_gap(subscription, page, gap)
        return page

    def _tell_gap(self, subscription: Subscription, page: Page, reason: GapReason) -> None:
        self._metrics.gaps.labels(reason.value).inc()
        cursor = _before(page)
        subscription.begin(cursor)
        subscription.tell(frames.gap(reason, cursor), cursor)

    def _write(self, subscription: Subscription, page: Page, *, quiet: bool) -> bool:
        for entry in page.entries:
            if not subscription.replayed(frames.frame(entry.event, entry.cursor)):
                return False
        if page.more or not subscription.join(page.upto):
            return False
        if not quiet:
            subscription.tell(frames.position(page.upto), page.upto)
        self._metrics.replay_events.observe(subscription.replayed_events)
        subscription.replayed_events = 0
        return True


def _before(page: Page) -> Cursor:
    """The position from which a page that follows a gap is complete."""
    if not page.entries:
        return page.upto
    first = page.entries[0].cursor
    return Cursor(first.epoch, first.offset - 1)
