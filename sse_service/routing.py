"""Decides whom an Envelope is for, and what they are shown."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote_plus

from consumers.envelope import as_text
from sse_service.errors import NotUnderstood
from sse_service.events import BROADCAST, Event, Route, group_channel, user_channel
from sse_service.frames import data_size

if TYPE_CHECKING:
    from collections.abc import Mapping

    from consumers.envelope import Envelope

MAX_NAMES = 100
"""Users and groups of one message."""

_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")  # a line end in a field would inject another field (CWE-93)
_KEY_PART = re.compile(r"(\{user\}|\*)")


@dataclass(frozen=True, slots=True, kw_only=True)
class Router:
    """Routes by message attributes, then by what the body names."""

    max_event_bytes: int = 262_144
    """Limit on the encoded ``data:`` lines; SNS takes messages of 256 KiB."""
    s3_key_pattern: str | None = None
    """As ``users/{user}/*``: ``{user}`` is one path segment, ``*`` any text. Unset, S3 names nobody."""
    _key: re.Pattern[str] | None = field(init=False, default=None)

    def __post_init__(self) -> None:
        if self.s3_key_pattern is not None:
            object.__setattr__(self, "_key", _key_pattern(self.s3_key_pattern))

    def route(self, envelope: Envelope) -> list[Route]:
        """Give zero or more Routes; none where the message names nobody.

        Raises NotUnderstood for what no retry can help.
        """
        if self.is_notice(envelope):
            return []
        named = _named_by(envelope.attributes, user_keys=("user_id",))
        if envelope.attributes.get("broadcast") == "true":
            named = (*named, BROADCAST)
        if (records := _s3_records(envelope.body)) is not None:
            return self._route_s3(envelope, records, named)
        named = named or _named_by_body(envelope.body)
        kind = _text(envelope.attributes.get("event_type"), "type") or envelope.type
        subject = _text(envelope.attributes.get("subject"), "subject") or envelope.subject
        event_id = _text(envelope.attributes.get("event_id"), "id") or envelope.event_id
        event = self._checked(Event(event_id, envelope.text, kind, subject, envelope.time))
        return [Route(event, named)] if named else []

    def is_notice(self, envelope: Envelope) -> bool:
        """Whether the message is S3's own test of a new notification, which is for nobody and no fault."""
        return _is_s3_test(envelope.body)

    def _route_s3(self, envelope: Envelope, records: list[dict[str, Any]], named: tuple[str, ...]) -> list[Route]:
        routes = []
        base = _text(envelope.attributes.get("event_id"), "id") or envelope.event_id
        for number, record in enumerate(records):
            key = _s3_key(record)
            event = Event(
                base if len(records) == 1 else f"{base}#{number}",
                as_text(record),
                _text(record.get("eventName"), "type"),
                key,
                _text(record.get("eventTime"), "time"),
            )
            match = self._key.fullmatch(key) if self._key else None
            channels = named or ((user_channel(match["user"]),) if match else ())
            self._checked(event)
            if channels:
                routes.append(Route(event, channels))
        return routes

    def _checked(self, event: Event) -> Event:
        for name, value in (("id", event.id), ("type", event.type), ("subject", event.subject)):
            if value is not None and _CONTROL.search(value):
                raise NotUnderstood(name)
        if data_size(event.data) > self.max_event_bytes:
            raise NotUnderstood("size")
        if "\0" in event.data:
            raise NotUnderstood("nul")
        return event


def _named_by(fields: Mapping[str, Any], *, user_keys: tuple[str, ...]) -> tuple[str, ...]:
    users = [name for key in user_keys for name in _names(fields.get(key))]
    groups = _names(fields.get("group"))
    if len(users) + len(groups) > MAX_NAMES:
        raise NotUnderstood("names")
    return tuple(dict.fromkeys([*map(user_channel, users), *map(group_channel, groups)]))


def _named_by_body(body: Any) -> tuple[str, ...]:
    """The first place that names anybody: the top, ``detail``, ``data``."""
    if not isinstance(body, dict):
        return ()
    for place in (body, body.get("detail"), body.get("data")):
        if isinstance(place, dict) and (named := _named_by(place, user_keys=("user_id", "userId"))):
            return named
    return ()


def _names(value: Any) -> list[str]:
    """A string, an integer, or a list of these; null and empty name nobody."""
    names = []
    for item in value if isinstance(value, list) else [value]:
        if item is None or item == "":
            continue
        if isinstance(item, bool) or not isinstance(item, str | int):
            raise NotUnderstood("names")
        names.append(str(item))
    return names


def _text(value: Any, name: str) -> str | None:
    if value is None or value == "":
        return None
    if not isinstance(value, str):
        raise NotUnderstood(name)
    return value


def _is_s3_test(body: Any) -> bool:
    return isinstance(body, dict) and body.get("Service") == "Amazon S3" and body.get("Event") == "s3:TestEvent"


def _s3_records(body: Any) -> list[dict[str, Any]] | None:
    records = body.get("Records") if isinstance(body, dict) else None
    if not isinstance(records, list) or not records:
        return None
    if not all(isinstance(r, dict) and r.get("eventSource") == "aws:s3" for r in records):
        return None
    return records


def _s3_key(record: dict[str, Any]) -> str:
    """The decoded key: notifications carry it URL-encoded, with ``+`` for a space."""
    try:
        key = record["s3"]["object"]["key"]
    except (KeyError, TypeError):
        raise NotUnderstood("s3") from None
    if not isinstance(key, str):
        raise NotUnderstood("s3")
    return unquote_plus(key)


def _key_pattern(pattern: str) -> re.Pattern[str]:
    """Raises ValueError unless ``{user}`` stands in the pattern exactly once."""
    if pattern.count("{user}") != 1:
        raise ValueError("must contain {user} exactly once")
    parts = {"{user}": "(?P<user>[^/]+)", "*": ".*"}
    return re.compile("".join(parts.get(p, re.escape(p)) for p in _KEY_PART.split(pattern)), re.DOTALL)
