"""The Handler that a consumer calls: it routes each message, then publishes all events."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Protocol

from consumers.base import Outcome
from consumers.text import loggable_name
from sse_service.model.errors import Unavailable
from sse_service.model.reasons import DropReason, RejectionReason
from sse_service.routing.router import Rejection, Routing

if TYPE_CHECKING:
    from collections.abc import Sequence

    from consumers.envelope import Envelope
    from sse_service.model.events import Route
    from sse_service.routing.router import Router
    from sse_service.telemetry.metrics import Metrics

MAX_LOGGED_NAMES = 10

_log = logging.getLogger(__name__)


class Store(Protocol):
    """Where the events go. A Broker is one."""

    async def publish(self, routes: Sequence[Route], /) -> None:
        """Store all events, as ``Broker.publish`` does."""
        ...


class Ingest:
    """Stores all events of one receive with one call to the broker, so that they keep the queue's order."""

    def __init__(self, *, router: Router, broker: Store, metrics: Metrics, discard_unrouted: bool = False) -> None:
        self._router = router
        self._broker = broker
        self._metrics = metrics
        self._discard_unrouted = discard_unrouted
        self._warned_of_comma = False

    async def __call__(self, envelopes: Sequence[Envelope]) -> list[Outcome]:
        """Answer DONE only if the broker has stored a message's events, or if the message is discarded."""
        routings = [self._route(envelope) for envelope in envelopes]
        stored = await self._store([route for routing in routings for route in routing.routes])
        return [self._answer(envelope, routing, stored) for envelope, routing in zip(envelopes, routings, strict=True)]

    def _route(self, envelope: Envelope) -> Routing:
        routing = self._router.route(envelope)
        if envelope.trace is not None:
            routing = routing.in_trace(envelope.trace)
        if routing.unrouted and not (routing.routes or routing.rejections or self._discard_unrouted):
            return routing._replace(rejections=(names_nobody(envelope),))
        if not self._warned_of_comma and _has_comma(routing):
            self._warned_of_comma = True
            _log.warning(
                "message %s (event %.100s) names a user or group with a comma in it, and goes to that one name. "
                "To name several, send a String.Array or a JSON array. This is logged once",
                envelope.message_id,
                envelope.event_id,
            )
        return routing

    async def _store(self, routes: list[Route]) -> bool:
        try:
            await self._broker.publish(routes)
        except Unavailable:
            return False
        return True

    def _answer(self, envelope: Envelope, routing: Routing, stored: bool) -> Outcome:
        if routing.routes and not stored:
            return Outcome.NOT_NOW
        if _log.isEnabledFor(logging.DEBUG):
            _log_routes(envelope, routing.routes)
        if routing.rejections:
            # The message's valid events are stored. They come again with it until the redrive policy moves it to the
            # dead-letter queue, and are recognised as duplicates.
            self._metrics.rejected(routing.rejections[0].reason)
            for rejection in routing.rejections:
                _warn(envelope, rejection)
            return Outcome.NOT_UNDERSTOOD
        if routing.unrouted:
            self._metrics.events_dropped.labels(DropReason.UNROUTED).inc(routing.unrouted)
            _log.debug("message %s: %d events name nobody", envelope.message_id, routing.unrouted)
        return Outcome.DONE


def names_nobody(envelope: Envelope) -> Rejection:
    """Say what the message has in place of a name. Values of attributes may be secret, so only their names are told."""
    is_json, names = envelope.body != envelope.text, list(envelope.attributes)
    found = "it has no message attributes"
    if names:
        more = f" and {len(names) - MAX_LOGGED_NAMES} more" if len(names) > MAX_LOGGED_NAMES else ""
        found = f"its message attributes are {', '.join(map(loggable_name, names[:MAX_LOGGED_NAMES]))}{more}"
    if not is_json:
        found += ", and its body is not JSON"
    # If there are attributes, one of them is probably misspelled. That the body is a text is then no fault.
    reason = RejectionReason.UNROUTED if is_json or names else RejectionReason.NOT_JSON
    return Rejection(reason, advice=f"the message names nobody: {found}; expected: user_id, group or broadcast=true")


def _has_comma(routing: Routing) -> bool:
    for route in routing.routes:
        for channel in route.channels:
            if "," in channel:
                return True
    return False


def _warn(envelope: Envelope, rejection: Rejection) -> None:
    record = "" if rejection.record is None else f" record {rejection.record}"
    # The publisher knows the event's id, not the message's. It may be a text of any length, so it is shortened.
    _log.warning(
        "message %s (event %.100s)%s was not understood (reason: %s%s)",
        envelope.message_id,
        envelope.event_id,
        record,
        rejection.reason,
        f"; {rejection.advice}" if rejection.advice else "",
    )


def _log_routes(envelope: Envelope, routes: Sequence[Route]) -> None:
    for route in routes:
        _log.debug(
            "message %s: stored event %s for %d channels", envelope.message_id, route.event.id, len(route.channels)
        )
