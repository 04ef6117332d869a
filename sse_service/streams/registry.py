"""The open streams of this task."""

from __future__ import annotations

import logging
import random
import time
from typing import TYPE_CHECKING

from sse_service.model.errors import Overloaded
from sse_service.model.events import BROADCAST, group_channel, user_channel
from sse_service.model.reasons import CloseReason
from sse_service.streams.subscription import Subscription

if TYPE_CHECKING:
    from sse_service.brokers.base import Broker
    from sse_service.model.principal import Principal
    from sse_service.streams.backlog import QueueLimits
    from sse_service.streams.catchup import CatchUp
    from sse_service.streams.filter import Filter
    from sse_service.streams.hub import Hub
    from sse_service.streams.limits import Limits
    from sse_service.streams.sink import Sink
    from sse_service.streams.start import Start
    from sse_service.telemetry.metrics import Metrics

EVICTED_RETRY_MS = (30_000, 60_000)
"""When a stream over the limit of its user comes back: until then another page may have been closed."""

_log = logging.getLogger(__name__)


class Streams:
    """Admits streams, and holds each as long as its response lasts."""

    def __init__(
        self,
        *,
        hub: Hub,
        broker: Broker,
        catchup: CatchUp,
        metrics: Metrics,
        limits: Limits,
        queue_limits: QueueLimits,
        max_age_seconds: float,
    ) -> None:
        self._hub = hub
        self._broker = broker
        self._catchup = catchup
        self._metrics = metrics
        self._limits = limits
        self._queue_limits = queue_limits
        self._max_age_seconds = max_age_seconds
        # In order of opening; a dict because a set has no order.
        self._open: dict[Subscription, None] = {}
        metrics.streams_open.set_function(self.__len__)
        self.draining = False
        """Whether new streams are turned away because the task ends."""

    def __len__(self) -> int:
        """How many are open."""
        return len(self._open)

    def __contains__(self, subscription: Subscription) -> bool:
        """Whether it is open."""
        return subscription in self._open

    def snapshot(self) -> list[Subscription]:
        """Give those that are open now."""
        return list(self._open)

    def admit(self, *, user: str, address: str | None, resumes: bool) -> None:
        """Raises Overloaded where this stream may not be opened now."""
        if self.draining:
            raise Overloaded("drain")
        self._limits.check(user=user, address=address, resumes=resumes)

    def open(
        self, *, sink: Sink, principal: Principal, address: str | None, start: Start, narrowing: Filter | None
    ) -> Opened:
        """Deliver to the Sink until the block ends, for which this must be entered."""
        # Only what the verified token says: a client cannot widen it.
        channels = (user_channel(principal.user), *map(group_channel, principal.groups), BROADCAST)
        subscription = Subscription(
            sink=sink,
            principal=principal,
            channels=channels,
            start=start,
            narrowing=narrowing,
            limits=self._queue_limits,
            on_behind=self._catchup.add,
            # Jittered, or those that a deploy has opened together would go together.
            ends_at=time.monotonic() + self._max_age_seconds * random.uniform(0.8, 1),  # noqa: S311  spreads load
        )
        self._open[subscription] = None
        self._metrics.streams_opened.inc()
        _log.debug("a stream of user %s opens, %d channels", principal.user, len(channels))
        if (oldest := self._limits.opened(subscription, address)) is not None:
            _evict(oldest)
        self._hub.join(subscription, channels)
        self._catchup.add(subscription)
        return Opened(self, subscription, address)

    def end(self, subscription: Subscription, address: str | None) -> None:
        """Deliver no more."""
        subscription.leave()
        for channel in self._hub.leave(subscription, subscription.channels):
            self._broker.unsubscribe(channel)
        del self._open[subscription]
        self._limits.ended(subscription, address)
        reason = subscription.close_reason.value if subscription.close_reason else "client"
        self._metrics.streams_closed.labels(reason).inc()
        _log.debug("a stream of user %s has ended: %s", subscription.principal.user, reason)


class Opened:
    """Ends a stream with the block; a generator would take 400 bytes more for as long."""

    __slots__ = ("_address", "_streams", "_subscription")

    def __init__(self, streams: Streams, subscription: Subscription, address: str | None) -> None:
        self._streams = streams
        self._subscription = subscription
        self._address = address

    def __enter__(self) -> Subscription:
        return self._subscription

    def __exit__(self, *_: object) -> None:
        self._streams.end(self._subscription, self._address)


def _evict(subscription: Subscription) -> None:
    """End the oldest of a user's streams; one whose reader takes nothing would count in the task's total for longer."""
    if subscription.held:
        subscription.cut(CloseReason.LIMIT)
    else:
        subscription.close(CloseReason.LIMIT, retry_ms=random.randint(*EVICTED_RETRY_MS))  # noqa: S311  spreads load
