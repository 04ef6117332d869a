"""Decides whom an Envelope is for, and what they are shown."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from sse_service import routing_s3
from sse_service.errors import NotUnderstood
from sse_service.events import BROADCAST, Event, Route, group_channel, user_channel
from sse_service.frames import data_size
from sse_service.overrides import Evaluator, Overrides
from sse_service.routing_values import data, identifier, is_empty, names, truth, word

if TYPE_CHECKING:
    from collections.abc import Mapping

    from consumers.envelope import Envelope

MAX_NAMES = 100
"""Users and groups of one message."""


class Routing(NamedTuple):
    """What one message comes to."""

    routes: tuple[Route, ...] = ()
    unrouted: int = 0
    """Events that name nobody; a notice, as S3's own test, holds no event at all."""


class _Named(NamedTuple):
    """The values, as found, that say whom an event is for."""

    users: tuple[Any, ...] = ()
    groups: tuple[Any, ...] = ()
    broadcast: bool = False

    def __bool__(self) -> bool:
        return self.broadcast or not (all(map(is_empty, self.users)) and all(map(is_empty, self.groups)))


class _Found(NamedTuple):
    """One event as the defaults find it, its values unread: an overridden one never is."""

    named: _Named
    fields: Mapping[str, Any]
    """``type``, ``subject``, ``data`` and ``id``."""
    view: Mapping[str, Any]
    """What overrides are asked over."""
    time: str | None
    suffix: str = ""


class Router:
    """Routes by message attributes, then by what the body names; an operator's overrides stand before both.

    An override replaces what was found for its own field and leaves the other fields as they were. It is asked over
    ``{attributes, body, subject, source, type, id, time}``. Of an S3 notification each record is asked by itself:
    there ``body`` is the record, ``type`` its ``eventName``, ``subject`` the decoded key.
    """

    def __init__(
        self, *, max_event_bytes: int = 262_144, s3_key_pattern: str | None = None, overrides: Overrides | None = None
    ) -> None:
        """Take the limit on the encoded ``data:`` lines (SNS takes messages of 256 KiB), and where S3's users stand.

        Without a key pattern S3 names nobody. Raises ValueError for a pattern or an expression that is none.
        """
        self._max_event_bytes = max_event_bytes
        self._key = routing_s3.key_pattern(s3_key_pattern) if s3_key_pattern is not None else None
        self._overrides = Evaluator(overrides or Overrides())

    def route(self, envelope: Envelope) -> Routing:
        """Give the message's Routes, and how many of its events name nobody.

        Raises NotUnderstood for what no retry can help.
        """
        if routing_s3.is_test(envelope.body):
            return Routing()
        records = routing_s3.records(envelope.body)
        found = [self._plain(envelope)] if records is None else self._of_s3(envelope, records)
        routes = [Route(self._event(event), self._channels(event)) for event in found]
        routed = tuple(route for route in routes if route.channels)
        return Routing(routed, len(routes) - len(routed))

    def _of_s3(self, envelope: Envelope, records: list[dict[str, Any]]) -> list[_Found]:
        found = []
        for number, record in enumerate(records):
            key, kind, time = routing_s3.key(record), record.get("eventName"), word(record.get("eventTime"), "time")
            match = self._key.fullmatch(key) if self._key else None
            found.append(
                _Found(
                    named=_by_attributes(envelope.attributes) or _Named((match["user"],) if match else ()),
                    fields={"type": kind, "subject": key, "data": record, "id": _id(envelope)},
                    view={**_view(envelope), "body": record, "type": kind, "subject": key, "time": time},
                    time=time,
                    suffix=f"#{number}" if len(records) > 1 else "",
                )
            )
        return found

    def _plain(self, envelope: Envelope) -> _Found:
        attributes = envelope.attributes
        fields = {
            "type": attributes.get("event_type") or envelope.type,
            "subject": attributes.get("subject") or envelope.subject,
            "data": envelope.text,
            "id": _id(envelope),
        }
        named = _by_attributes(attributes) or _by_body(envelope.body)
        return _Found(named, fields, _view(envelope) if self._overrides else {}, envelope.time)

    def _event(self, found: _Found) -> Event:
        event = Event(
            id=identifier(self._value("id", found)) + found.suffix,
            data=data(self._value("data", found)),
            type=word(self._value("type", found), "type"),
            subject=word(self._value("subject", found), "subject"),
            time=found.time,
        )
        if data_size(event.data) > self._max_event_bytes:
            raise NotUnderstood("size")
        return event

    def _channels(self, found: _Found) -> tuple[str, ...]:
        ask, named = self._overrides, found.named
        users = names([ask.value("user", found.view)] if "user" in ask else named.users)
        groups = names([ask.value("group", found.view)] if "group" in ask else named.groups)
        everyone = truth(ask.value("broadcast", found.view)) if "broadcast" in ask else named.broadcast
        if len(users) + len(groups) > MAX_NAMES:
            raise NotUnderstood("names")
        channels = [*map(user_channel, users), *map(group_channel, groups), *([BROADCAST] if everyone else [])]
        return tuple(dict.fromkeys(channels))

    def _value(self, field: str, found: _Found) -> Any:
        return self._overrides.value(field, found.view) if field in self._overrides else found.fields[field]


def _id(envelope: Envelope) -> Any:
    return envelope.attributes.get("event_id") or envelope.event_id


def _view(envelope: Envelope) -> dict[str, Any]:
    fields = ("attributes", "body", "subject", "source", "type", "time")
    return {"id": envelope.event_id, **{name: getattr(envelope, name) for name in fields}}


def _by_attributes(fields: Mapping[str, Any]) -> _Named:
    return _Named((fields.get("user_id"),), (fields.get("group"),), fields.get("broadcast") == "true")


def _by_body(body: Any) -> _Named:
    """The first place that names anybody: the top, ``detail``, ``data``; a body alone never reaches everyone."""
    places = (body, body.get("detail"), body.get("data")) if isinstance(body, dict) else ()
    for place in places:
        if isinstance(place, dict):
            named = _Named((place.get("user_id"), place.get("userId")), (place.get("group"),))
            if named:
                return named
    return _Named()
