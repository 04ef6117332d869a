"""The open streams of this task, and the life of a stream: admit, open, greet, end."""

from __future__ import annotations

import logging
import random
import time
from dataclasses import replace
from typing import TYPE_CHECKING, Self

from sse_service.model.cursor import seconds_before
from sse_service.model.errors import Overloaded
from sse_service.model.events import BROADCAST, group_channel, user_channel
from sse_service.model.reasons import CloseReason, RefusalReason
from sse_service.model.revocations import user_name
from sse_service.streams import service_events
from sse_service.streams.catchup import PAGE_EVENTS, CatchUp, complete_from
from sse_service.streams.subscription import Subscription
from sse_service.streams.wheel import Wheel

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Sequence

    from sse_service.brokers.base import Broker, Page
    from sse_service.model.principal import Principal
    from sse_service.model.revocations import Revocation, RevocationTable
    from sse_service.streams.backlog import QueueLimits
    from sse_service.streams.filter import Filter
    from sse_service.streams.hub import Hub
    from sse_service.streams.limits import Limits
    from sse_service.streams.sink import Sink
    from sse_service.streams.start import Start
    from sse_service.telemetry.health import Health
    from sse_service.telemetry.metrics import Metrics

EVICTED_RETRY_MS = (30_000, 60_000)
"""When an evicted stream should reconnect. By then the user may have closed another page."""

_log = logging.getLogger(__name__)


class StreamRegistry:
    """Holds each stream while its response runs. Every step of a stream's life is a method here, in order."""

    def __init__(
        self,
        *,
        hub: Hub,
        broker: Broker,
        metrics: Metrics,
        health: Health,
        limits: Limits,
        revocations: RevocationTable,
        queue_limits: QueueLimits,
        max_age_seconds: float,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """``clock`` is the timer's."""
        self._hub = hub
        self._broker = broker
        self._metrics = metrics
        self._health = health
        self._limits = limits
        self._revocations = revocations
        self._queue_limits = queue_limits
        self._max_age_seconds = max_age_seconds
        self._clock = clock
        self._catchup = CatchUp(broker=broker, metrics=metrics, greet=self._greet, clock=clock)
        # Bound once, because every stream keeps it.
        self._add_to_catchup = self._catchup.add
        # A dict keeps the order of opening.
        self._open: dict[Subscription, None] = {}
        self.wheel = Wheel()
        """When the timer looks at each open stream. Only the timer takes streams out, and puts them in again."""
        # Fingerprint of a token with open streams -> its Principal, and their number. Anybody can cause a look-up, and
        # a search through all streams would take 2 ms.
        self._tokens: dict[bytes, tuple[Principal, int]] = {}
        metrics.streams_open.set_function(self.__len__)

    def __len__(self) -> int:
        """How many streams are open."""
        return len(self._open)

    def __contains__(self, subscription: Subscription) -> bool:
        """Whether the stream is open."""
        return subscription in self._open

    def snapshot(self) -> list[Subscription]:
        """Return the streams that are open now, oldest first."""
        return list(self._open)

    async def run(self) -> None:
        """Bring streams from History to live, until cancelled."""
        await self._catchup.run()

    def admit(self, *, user: str, address: str | None, resumes: bool) -> None:
        """Step 1: apply the limits. Raises Overloaded if the stream may not be opened now."""
        if self._health.draining:
            raise Overloaded(RefusalReason.DRAIN)
        self._limits.check(user=user, address=address, resumes=resumes)

    @property
    def most_unidentified(self) -> int:
        """How many clients may be connected that have not said yet who they are."""
        return self._limits.most_unidentified

    def admit_unidentified(self) -> None:
        """The same for a client that will say later who it is. ``admit`` follows then."""
        if self._health.draining:
            raise Overloaded(RefusalReason.DRAIN)
        self._limits.check_unidentified()

    def open(
        self,
        *,
        protocol: str,
        sink: Sink,
        principal: Principal,
        address: str | None,
        start: Start,
        filter: Filter | None,  # noqa: A002  the vocabulary's word
    ) -> OpenStream:
        """Step 2: register a stream and hand it to the catch-up. The end of the OpenStream is step 4.

        ``protocol`` is one of ``telemetry.metrics.PROTOCOLS``.
        """
        # The verified token alone decides the channels: a client cannot widen them.
        channels = (user_channel(principal.user), *map(group_channel, principal.groups), BROADCAST)
        now = self._clock()
        subscription = Subscription(
            sink=sink,
            principal=principal,
            channels=channels,
            start=start,
            filter=filter,
            limits=self._queue_limits,
            on_behind=self._add_to_catchup,
            opened_at=now,
            # With jitter, because streams that reconnect together after a deploy must not end together.
            ends_at=now + self._max_age_seconds * random.uniform(0.8, 1),  # noqa: S311  spreads load
        )
        self._open[subscription] = None
        self.wheel.put(subscription, int(now) + 1)
        self._count_token(principal, 1)
        self._metrics.streams_opened.labels(protocol).inc()
        _log.debug("user %s opened a stream with %d channels", principal.user, len(channels))
        if (oldest := self._limits.opened(subscription, address)) is not None:
            _evict(oldest)
        self._hub.join(subscription, channels)
        self._catchup.add(subscription)
        # The credential may have been revoked since it was checked.
        if self._revocations.refuses(principal):
            _end_revoked(subscription)
        return OpenStream(self, subscription, address)

    async def _greet(self, subscription: Subscription, start: Start) -> Page:
        """Step 3, called by the catch-up: subscribe, read the first page, and write ``stream.ready``.

        Subscribing comes before reading, so that no event is missed between the two. Raises Unavailable.
        """
        await self._broker.subscribe(subscription.channels)
        after = start.cursor
        if not start.resumes and not start.everything:
            after = seconds_before(await self._broker.position(), start.ago_seconds or 0)
        page = await self._broker.replay(subscription.channels, after, PAGE_EVENTS)
        if start.everything:
            # ``since=all`` asks for what History holds. What was removed before is no gap.
            page = replace(page, gap=None)
        subscription.write_service_event(
            service_events.ready(
                resumed=start.resumes and page.gap is None,
                user=subscription.principal.user,
                # randint() takes four times as long, and this runs for every stream.
                retry_ms=int(random.uniform(1000, 5000)),  # noqa: S311  spreads load
                cursor=after if start.live else None,
            ),
            at=self._clock(),
        )
        subscription.replay_from(after if after is not None and page.gap is None else complete_from(page))
        return page

    def principals(self, fingerprints: Collection[bytes]) -> dict[bytes, Principal]:
        """Return the Principals whose tokens have these fingerprints, if their streams are open, by fingerprint."""
        return {each: self._tokens[each][0] for each in fingerprints if each in self._tokens}

    def end_revoked(self, revocations: Sequence[Revocation]) -> int:
        """End the streams to which these revocations apply. The table must have them. Returns how many were ended."""
        users = {revocation.user for revocation in revocations}
        concerned = [
            subscription
            for subscription in self._open
            if user_name(subscription.principal.user) in users
            and not subscription.closed
            and self._revocations.refuses(subscription.principal)
        ]
        for subscription in concerned:
            _end_revoked(subscription)
        return len(concerned)

    def end(self, subscription: Subscription, address: str | None, *, answered: bool) -> None:
        """Step 4: stop delivery, and unsubscribe from channels that no other stream of this task uses."""
        subscription.leave()
        for channel in self._hub.leave(subscription, subscription.channels):
            self._broker.unsubscribe(channel)
        del self._open[subscription]
        self.wheel.discard(subscription)
        self._count_token(subscription.principal, -1)
        self._limits.ended(subscription, address)
        reason = subscription.close_reason or ("answered" if answered else "client")
        self._metrics.streams_closed.labels(reason).inc()
        _log.debug("a stream of user %s ended (reason: %s)", subscription.principal.user, reason)

    def _count_token(self, principal: Principal, change: int) -> None:
        if not (fingerprint := principal.fingerprint):
            return
        before = self._tokens[fingerprint][1] if fingerprint in self._tokens else 0
        if before + change:
            self._tokens[fingerprint] = (principal, before + change)
        else:
            del self._tokens[fingerprint]


class OpenStream:
    """Ends a stream when its ``with`` block ends; after ``detach``, when its new owner calls ``end``."""

    __slots__ = ("_address", "_detached", "_registry", "_subscription", "answered")

    def __init__(self, registry: StreamRegistry, subscription: Subscription, address: str | None) -> None:
        self._registry = registry
        self._subscription = subscription
        self._address = address
        self._detached = False
        self.answered = False
        """Whether a poll got its answer. Set by its protocol."""

    def __enter__(self) -> Subscription:
        return self._subscription

    def __exit__(self, *_: object) -> None:
        if not self._detached:
            self.end()

    def detach(self) -> Self:
        """Let the stream go on after the ``with`` block. Whoever gets it must call ``end``, exactly once."""
        self._detached = True
        return self

    def end(self) -> None:
        """End the stream."""
        self._registry.end(self._subscription, self._address, answered=self.answered)


def _end_revoked(subscription: Subscription) -> None:
    """End a stream whose credential was revoked. If its reader takes nothing, cut it: it must get nothing later."""
    if subscription.paused:
        subscription.cut(CloseReason.REVOKED)
    else:
        subscription.close(CloseReason.REVOKED, reconnect=False)


def _evict(subscription: Subscription) -> None:
    """End a user's oldest stream. If its reader takes nothing, cut it: it would go on counting towards the total."""
    if subscription.paused:
        subscription.cut(CloseReason.LIMIT)
    else:
        subscription.close(CloseReason.LIMIT, retry_ms=random.randint(*EVICTED_RETRY_MS))  # noqa: S311  spreads load
