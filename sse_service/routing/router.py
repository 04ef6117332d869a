"""Turns one Envelope into Routes."""

from __future__ import annotations

from dataclasses import replace
from enum import StrEnum
from typing import TYPE_CHECKING, Any, NamedTuple

from consumers.errors import NotUnderstood
from sse_service.model.events import Route
from sse_service.model.reasons import RejectionReason
from sse_service.routing import audience, s3
from sse_service.routing.audience import Audience
from sse_service.routing.fields import one_line
from sse_service.routing.overrides import Evaluator, Overrides
from sse_service.routing.raw_event import RawEvent

if TYPE_CHECKING:
    from collections.abc import Mapping

    from consumers.envelope import Envelope


class Rejection(NamedTuple):
    """An event that is not understood."""

    reason: StrEnum
    """A RejectionReason, or a ConsumerReason if the text itself is at fault."""
    record: int | None = None
    """The record's number, from 0, in a message with several records."""
    advice: str = ""
    """Tells an operator what is wrong, or what to do. It contains no value of the message."""


class Routing(NamedTuple):
    """The events of one message. S3's test notification has none."""

    routes: tuple[Route, ...] = ()
    unrouted: int = 0
    """How many events name nobody."""
    rejections: tuple[Rejection, ...] = ()

    def in_trace(self, trace: str) -> Routing:
        """Return the same with events that carry this trace."""
        return self._replace(
            routes=tuple(Route(replace(route.event, trace=trace), route.channels) for route in self.routes)
        )


class Router:
    """Routes by message attributes, or else by the names in the body. Overrides come before both.

    An override replaces one field and leaves the others unchanged. It is evaluated over
    ``{attributes, body, subject, source, type, id, time, wrapper}``. ``wrapper`` is the whole EventBridge event or
    CloudEvent, and null for other messages. In an S3 notification, overrides are evaluated for each record: ``body`` is
    the record, ``type`` its ``eventName``, ``subject`` the decoded key.
    """

    def __init__(
        self, *, max_event_bytes: int = 262_144, s3_key_pattern: str | None = None, overrides: Overrides | None = None
    ) -> None:
        """Without ``s3_key_pattern``, an S3 key names nobody.

        ``max_event_bytes`` limits the encoded ``data:`` lines; SNS accepts messages of 256 KiB.
        Raises ValueError for an invalid pattern or expression.
        """
        self._max_event_bytes = max_event_bytes
        self._key_pattern = s3.key_pattern(s3_key_pattern) if s3_key_pattern is not None else None
        # None if there are no overrides, so that a plain message costs no function call.
        self._overrides = Evaluator(overrides or Overrides()) or None
        self._overrides_broadcast = overrides is not None and overrides.broadcast is not None

    def route(self, envelope: Envelope) -> Routing:
        """Sort the message's events into Routes, those that name nobody, and those that are not understood."""
        body = envelope.body
        try:
            if isinstance(body, dict):
                if s3.is_test_event(body):
                    return Routing()
                if (records := s3.records(body)) is not None:
                    return self._route_records(envelope, records)
            route = self._route_one(envelope)
        except NotUnderstood as error:
            return Routing(rejections=(Rejection(error.reason, advice=error.advice),))
        return Routing((route,)) if route.channels else Routing(unrouted=1)

    def _route_one(self, envelope: Envelope) -> Route:
        attributes = envelope.attributes
        named = self._of_attributes(envelope) or audience.of_body(envelope.body)
        if envelope.source == s3.EVENTBRIDGE_SOURCE and (key := s3.eventbridge_key(envelope.body)) is not None:
            named = named or self._owner(key)
            envelope = envelope._replace(subject=s3.subject(key))
        kind = attributes.get("event_type") or envelope.type
        subject = attributes.get("subject") or envelope.subject
        raw = RawEvent(named or Audience(), kind, subject, envelope.text, _id(envelope), envelope.time)
        if self._overrides:
            raw = raw.overridden(self._overrides.values(_view(envelope)))
        return raw.route(self._max_event_bytes)

    def _route_records(self, envelope: Envelope, records: list[Any]) -> Routing:
        routes, unrouted, rejections = [], 0, []
        named = self._of_attributes(envelope)
        for number, record in enumerate(records):
            several = len(records) > 1
            try:
                route = self._route_record(envelope, s3.check_record(record), named, f"#{number}" if several else "")
            except NotUnderstood as error:
                # A bad record does not affect the others.
                rejections.append(Rejection(error.reason, number if several else None, error.advice))
            else:
                if route.channels:
                    routes.append(route)
                else:
                    unrouted += 1
        return Routing(tuple(routes), unrouted, tuple(rejections))

    def _route_record(self, envelope: Envelope, record: dict[str, Any], named: Audience | None, suffix: str) -> Route:
        key, kind, time = s3.record_key(record), record.get("eventName"), record.get("eventTime")
        subject = s3.subject(key)
        raw = RawEvent(
            audience=named or self._owner(key) or Audience(),
            type=kind,
            subject=subject,
            data=record,
            id=_id(envelope),
            time=one_line(time, RejectionReason.TIME),
            suffix=suffix,
        )
        if self._overrides:
            view = {**_view(envelope), "body": record, "type": kind, "subject": subject, "time": time}
            raw = raw.overridden(self._overrides.values(view))
        return raw.route(self._max_event_bytes)

    def _of_attributes(self, envelope: Envelope) -> Audience | None:
        return audience.of_attributes(
            envelope.attributes, fractions=envelope.fractions, overrides_broadcast=self._overrides_broadcast
        )

    def _owner(self, key: str) -> Audience | None:
        """Return the user whom an S3 key names."""
        match = self._key_pattern.fullmatch(key) if self._key_pattern else None
        return Audience((match["user"],)) if match else None


def _id(envelope: Envelope) -> Any:
    return envelope.attributes.get("event_id") or envelope.event_id


def _view(envelope: Envelope) -> Mapping[str, Any]:
    """Return the object over which overrides are evaluated."""
    fields = ("attributes", "body", "subject", "source", "type", "time", "wrapper")
    return {"id": envelope.event_id, **{name: getattr(envelope, name) for name in fields}}
