"""The Handler given to a consumer: route, then publish."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from consumers.base import Outcome
from sse_service.model.errors import NotUnderstood, Unavailable

if TYPE_CHECKING:
    from collections.abc import Sequence

    from consumers.envelope import Envelope
    from sse_service.brokers.base import Broker
    from sse_service.model.events import Route
    from sse_service.routing.router import Router, Routing
    from sse_service.telemetry.metrics import Metrics

_log = logging.getLogger(__name__)


class Ingest:
    """Stores one receive's events in one call, so that their order is the queue's."""

    def __init__(self, *, router: Router, broker: Broker, metrics: Metrics, discard_unrouted: bool = False) -> None:
        self._router = router
        self._broker = broker
        self._metrics = metrics
        self._discard_unrouted = discard_unrouted

    async def __call__(self, envelopes: Sequence[Envelope]) -> list[Outcome]:
        """Answer DONE only for what the broker has stored, or what is to be thrown away."""
        routings = [self._route(envelope) for envelope in envelopes]
        stored = await self._store([route for routing in routings if routing for route in routing.routes])
        outcomes = [self._answer(routing, stored) for routing in routings]
        if _log.isEnabledFor(logging.DEBUG):
            for envelope, routing, outcome in zip(envelopes, routings, outcomes, strict=True):
                if routing and outcome is Outcome.DONE:
                    _tell(envelope, routing)
        return outcomes

    def _route(self, envelope: Envelope) -> Routing | None:
        """What the message comes to; None where it is left to the dead-letter queue."""
        try:
            routing = self._router.route(envelope)
            if routing.unrouted and not routing.routes and not self._discard_unrouted:
                raise NotUnderstood("unrouted")
        except NotUnderstood as error:
            self._metrics.rejected(error.reason)
            # The id that the publisher was told is the event's; cut, for it may be the producer's text.
            _log.warning(
                "message %s (event %.100s) not understood: %s", envelope.message_id, envelope.event_id, error.reason
            )
            return None
        return routing

    async def _store(self, routes: list[Route]) -> bool:
        try:
            await self._broker.publish(routes)
        except Unavailable:
            return False
        return True

    def _answer(self, routing: Routing | None, stored: bool) -> Outcome:
        if routing is None:
            return Outcome.NOT_UNDERSTOOD
        if routing.routes and not stored:
            return Outcome.NOT_NOW
        if routing.unrouted:
            self._metrics.events_dropped.labels("unrouted").inc(routing.unrouted)
        return Outcome.DONE


def _tell(envelope: Envelope, routing: Routing) -> None:
    for route in routing.routes:
        _log.debug("message %s: event %s to %d channels", envelope.message_id, route.event.id, len(route.channels))
    if routing.unrouted:
        _log.debug("message %s: %d events name nobody", envelope.message_id, routing.unrouted)
