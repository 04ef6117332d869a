"""The Handler given to a consumer: route, then publish."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from consumers.base import Outcome
from sse_service.errors import NotUnderstood, Unavailable

if TYPE_CHECKING:
    from collections.abc import Sequence

    from consumers.envelope import Envelope
    from sse_service.brokers.base import Broker
    from sse_service.events import Route
    from sse_service.routing import Router

_log = logging.getLogger(__name__)


class Ingest:
    """Stores one receive's events in one call, so that their order is the queue's."""

    def __init__(self, *, router: Router, broker: Broker, discard_unrouted: bool = False) -> None:
        self._router = router
        self._broker = broker
        self._discard_unrouted = discard_unrouted

    async def __call__(self, envelopes: Sequence[Envelope]) -> list[Outcome]:
        """Answer DONE only for what the broker has stored, or what is to be thrown away."""
        routes: list[Route] = []
        outcomes = [self._route(envelope, routes) for envelope in envelopes]
        try:
            await self._broker.publish(routes)
        except Unavailable:
            return [Outcome.NOT_NOW if outcome is Outcome.DONE else outcome for outcome in outcomes]
        return outcomes

    def _route(self, envelope: Envelope, routes: list[Route]) -> Outcome:
        try:
            found = self._router.route(envelope)
        except NotUnderstood as error:
            _log.warning("message %s not understood: %s", envelope.message_id, error.reason)
            return Outcome.NOT_UNDERSTOOD
        if not found and not self._router.is_notice(envelope) and not self._discard_unrouted:
            _log.warning("message %s names nobody", envelope.message_id)
            return Outcome.NOT_UNDERSTOOD
        routes += found
        _log.debug("message %s: event %s, %d routes", envelope.message_id, envelope.event_id, len(found))
        return Outcome.DONE
