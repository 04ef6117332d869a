"""The open streams of this task, and the whole life of one: admitted, opened, greeted, subscribed, ended."""

from __future__ import annotations

import logging
import random
import time
from dataclasses import replace
from typing import TYPE_CHECKING

from sse_service.model.cursor import ago
from sse_service.model.errors import Overloaded
from sse_service.model.events import BROADCAST, group_channel, user_channel
from sse_service.model.reasons import CloseReason, RefusalReason
from sse_service.streams import service_events
from sse_service.streams.catchup import PAGE_EVENTS, CatchUp, before_first
from sse_service.streams.subscription import Subscription

if TYPE_CHECKING:
    from sse_service.brokers.base import Broker, Page
    from sse_service.model.principal import Principal
    from sse_service.streams.backlog import QueueLimits
    from sse_service.streams.filter import Filter
    from sse_service.streams.hub import Hub
    from sse_service.streams.limits import Limits
    from sse_service.streams.sink import Sink
    from sse_service.streams.start import Start
    from sse_service.telemetry.health import Health
    from sse_service.telemetry.metrics import Metrics

EVICTED_RETRY_MS = (30_000, 60_000)
"""When a stream over its user's limit comes back. Until then the user may have closed another page."""

_log = logging.getLogger(__name__)


class StreamRegistry:
    """Holds each stream while its response lasts. Every step of a stream's life is a method here, in order."""

    def __init__(
        self,
        *,
        hub: Hub,
        broker: Broker,
        metrics: Metrics,
        health: Health,
        limits: Limits,
        queue_limits: QueueLimits,
        max_age_seconds: float,
    ) -> None:
        self._hub = hub
        self._broker = broker
        self._metrics = metrics
        self._health = health
        self._limits = limits
        self._queue_limits = queue_limits
        self._max_age_seconds = max_age_seconds
        self._catchup = CatchUp(broker=broker, metrics=metrics, greet=self._greet)
        # In order of opening; a set would have no order.
        self._open: dict[Subscription, None] = {}
        metrics.streams_open.set_function(self.__len__)

    def __len__(self) -> int:
        """How many streams are open."""
        return len(self._open)

    def __contains__(self, subscription: Subscription) -> bool:
        """Whether the stream is open."""
        return subscription in self._open

    def snapshot(self) -> list[Subscription]:
        """Give the streams that are open now, oldest first."""
        return list(self._open)

    async def run(self) -> None:
        """Bring streams from History to live, until cancelled."""
        await self._catchup.run()

    def admit(self, *, user: str, address: str | None, resumes: bool) -> None:
        """Step 1: count an attempt. Raises Overloaded where no stream may be opened now."""
        if self._health.draining:
            raise Overloaded(RefusalReason.DRAIN)
        self._limits.check(user=user, address=address, resumes=resumes)

    def open(
        self,
        *,
        sink: Sink,
        principal: Principal,
        address: str | None,
        start: Start,
        filter: Filter | None,  # noqa: A002  the vocabulary's word
    ) -> OpenStream:
        """Step 2: register a stream and hand it to the catch-up. Use it as a context manager; its end is step 4."""
        # The verified token alone decides the channels: a client cannot widen them.
        channels = (user_channel(principal.user), *map(group_channel, principal.groups), BROADCAST)
        subscription = Subscription(
            sink=sink,
            principal=principal,
            channels=channels,
            start=start,
            filter=filter,
            limits=self._queue_limits,
            on_behind=self._catchup.add,
            # With jitter: streams that a deploy opened together must not end together.
            ends_at=time.monotonic() + self._max_age_seconds * random.uniform(0.8, 1),  # noqa: S311  spreads load
        )
        self._open[subscription] = None
        self._metrics.streams_opened.inc()
        _log.debug("user %s opened a stream with %d channels", principal.user, len(channels))
        if (oldest := self._limits.opened(subscription, address)) is not None:
            _evict(oldest)
        self._hub.join(subscription, channels)
        self._catchup.add(subscription)
        return OpenStream(self, subscription, address)

    async def _greet(self, subscription: Subscription, start: Start) -> Page:
        """Step 3, in the catch-up: subscribe, read from where the client wants to begin, say ``stream.ready``.

        Subscribing comes before reading, so that no event falls between the two. Raises Unavailable.
        """
        await self._broker.subscribe(subscription.channels)
        after = start.cursor
        if not start.resumes and not start.held:
            after = ago(await self._broker.position(), start.ago_seconds or 0)
        page = await self._broker.replay(subscription.channels, after, PAGE_EVENTS)
        if start.held:
            # ``since=all`` asks for what is held, whatever came before.
            page = replace(page, gap=None)
        subscription.tell(
            service_events.ready(
                resumed=start.resumes and page.gap is None,
                user=subscription.principal.user,
                # randint() takes four times as long, at each opening.
                retry_ms=int(random.uniform(1000, 5000)),  # noqa: S311  spreads load
                cursor=after if start.live else None,
            )
        )
        subscription.begin(after if after is not None and page.gap is None else before_first(page))
        return page

    def end(self, subscription: Subscription, address: str | None) -> None:
        """Step 4: deliver nothing more, and unsubscribe from the channels that nobody here listens to any more."""
        subscription.leave()
        for channel in self._hub.leave(subscription, subscription.channels):
            self._broker.unsubscribe(channel)
        del self._open[subscription]
        self._limits.ended(subscription, address)
        reason = subscription.close_reason or "client"
        self._metrics.streams_closed.labels(reason).inc()
        _log.debug("a stream of user %s ended (reason: %s)", subscription.principal.user, reason)


class OpenStream:
    """Ends a stream with the ``with`` block. A generator would take 400 bytes more for as long as the stream lasts."""

    __slots__ = ("_address", "_registry", "_subscription")

    def __init__(self, registry: StreamRegistry, subscription: Subscription, address: str | None) -> None:
        self._registry = registry
        self._subscription = subscription
        self._address = address

    def __enter__(self) -> Subscription:
        return self._subscription

    def __exit__(self, *_: object) -> None:
        self._registry.end(self._subscription, self._address)


def _evict(subscription: Subscription) -> None:
    """End a user's oldest stream. One whose reader takes nothing is cut, or it would count towards the total."""
    if subscription.held:
        subscription.cut(CloseReason.LIMIT)
    else:
        subscription.close(CloseReason.LIMIT, retry_ms=random.randint(*EVICTED_RETRY_MS))  # noqa: S311  spreads load
