"""Decides whom an Envelope is for, and what they are shown."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from sse_service.model.errors import NotUnderstood
from sse_service.model.events import BROADCAST, Event, Route, group_channel, user_channel
from sse_service.protocols.sse.encoding import data_size
from sse_service.routing import s3
from sse_service.routing.overrides import Evaluator, Overrides
from sse_service.routing.values import data, identifier, is_empty, names, truth, word

if TYPE_CHECKING:
    from collections.abc import Mapping

    from consumers.envelope import Envelope

MAX_NAMES = 100
"""Users and groups of one message."""

LINE_BYTES = len("data: \n")
"""What a line end in the data takes, encoded."""


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


class _Found(NamedTuple):
    """One event as the defaults find it, its values unread: an overridden one never is."""

    named: _Named
    type: Any
    subject: Any
    data: Any
    id: Any
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
        self._key = s3.key_pattern(s3_key_pattern) if s3_key_pattern is not None else None
        self._overrides = Evaluator(overrides or Overrides())

    def route(self, envelope: Envelope) -> Routing:
        """Give the message's Routes, and how many of its events name nobody.

        Raises NotUnderstood for what no retry can help.
        """
        body = envelope.body
        if isinstance(body, dict):
            if s3.is_test(body):
                return Routing()
            if (records := s3.records(body)) is not None:
                return self._of_s3(envelope, records)
        found = _plain(envelope)
        if self._overrides:
            found = self._overridden(found, _view(envelope))
        route = self._route(found)
        return Routing((route,)) if route.channels else Routing(unrouted=1)

    def _of_s3(self, envelope: Envelope, records: list[dict[str, Any]]) -> Routing:
        routes = []
        for number, record in enumerate(records):
            key, kind, time = s3.key(record), record.get("eventName"), word(record.get("eventTime"), "time")
            match = self._key.fullmatch(key) if self._key else None
            found = _Found(
                named=_by_attributes(envelope.attributes) or _Named((match["user"],) if match else ()),
                type=kind,
                subject=key,
                data=record,
                id=_id(envelope),
                time=time,
                suffix=f"#{number}" if len(records) > 1 else "",
            )
            if self._overrides:
                view = {**_view(envelope), "body": record, "type": kind, "subject": key, "time": time}
                found = self._overridden(found, view)
            routes.append(self._route(found))
        routed = tuple(route for route in routes if route.channels)
        return Routing(routed, len(routes) - len(routed))

    def _overridden(self, found: _Found, view: Mapping[str, Any]) -> _Found:
        asked = self._overrides.values(view)
        named = found.named
        if "user" in asked:
            named = named._replace(users=(asked.pop("user"),))
        if "group" in asked:
            named = named._replace(groups=(asked.pop("group"),))
        if "broadcast" in asked:
            named = named._replace(broadcast=truth(asked.pop("broadcast")))
        return found._replace(named=named, **asked)

    def _route(self, found: _Found) -> Route:
        event = Event(
            id=identifier(found.id) + found.suffix,
            data=data(found.data),
            type=word(found.type, "type"),
            subject=word(found.subject, "subject"),
            time=found.time,
        )
        if self._may_be_too_large(event.data) and data_size(event.data) > self._max_event_bytes:
            raise NotUnderstood("size")
        return Route(event, _channels(found.named))

    def _may_be_too_large(self, text: str) -> bool:
        """Without looking at it: no character takes more room than a line end, which begins a line of ``data: ``."""
        return (len(text) + 1) * LINE_BYTES > self._max_event_bytes


def _plain(envelope: Envelope) -> _Found:
    attributes = envelope.attributes
    return _Found(
        named=_by_attributes(attributes) or _by_body(envelope.body),
        type=attributes.get("event_type") or envelope.type,
        subject=attributes.get("subject") or envelope.subject,
        data=envelope.text,
        id=_id(envelope),
        time=envelope.time,
    )


def _id(envelope: Envelope) -> Any:
    return envelope.attributes.get("event_id") or envelope.event_id


def _view(envelope: Envelope) -> dict[str, Any]:
    """What overrides are asked over."""
    fields = ("attributes", "body", "subject", "source", "type", "time")
    return {"id": envelope.event_id, **{name: getattr(envelope, name) for name in fields}}


def _by_attributes(fields: Mapping[str, Any]) -> _Named | None:
    user, group, everyone = fields.get("user_id"), fields.get("group"), fields.get("broadcast") == "true"
    if not everyone and is_empty(user) and is_empty(group):
        return None
    return _Named((user,), (group,), everyone)


def _by_body(body: Any) -> _Named:
    """The first place that names anybody: the top, ``detail``, ``data``; a body alone never reaches everyone."""
    places = (body, body.get("detail"), body.get("data")) if isinstance(body, dict) else ()
    for place in places:
        if isinstance(place, dict):
            users, group = (place.get("user_id"), place.get("userId")), place.get("group")
            if not (is_empty(users[0]) and is_empty(users[1]) and is_empty(group)):
                return _Named(users, (group,))
    return _Named()


def _channels(named: _Named) -> tuple[str, ...]:
    users, groups = names(named.users), names(named.groups)
    if len(users) + len(groups) > MAX_NAMES:
        raise NotUnderstood("names")
    channels = [*map(user_channel, users), *map(group_channel, groups)]
    if named.broadcast:
        channels.append(BROADCAST)
    return tuple(channels if len(channels) == 1 else dict.fromkeys(channels))
