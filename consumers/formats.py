"""Cuts the content out of the event formats that wrap it: EventBridge and CloudEvents."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, NamedTuple

from consumers.errors import ConsumerReason, NotUnderstood
from consumers.text import NOT_JSON, as_text, decode_base64, parse

# The subtype is json, or has the suffix +json (RFC 6838 §4.2.8).
_JSON_TYPE = re.compile(r"[^;]*[/+]json\s*(;|$)", re.IGNORECASE)


class Content(NamedTuple):
    """What was cut out of a wrapper."""

    body: Any
    text: str
    type: str
    source: Any
    id: Any
    """By which copies of the event are recognised."""


def content(value: dict[str, Any]) -> Content | None:
    """The content of a JSON object that has one of the formats; None if it has none of them. Raises NotUnderstood."""
    for mark, read in _FORMATS.items():
        if mark in value and (found := read(value)) is not None:
            return found
    return None


def _eventbridge(value: dict[str, Any]) -> Content | None:
    """An event of EventBridge, as a rule delivers it without an input transformer."""
    kind = value.get("detail-type")
    if not isinstance(kind, str) or "source" not in value or "detail" not in value:
        return None
    return Content(value["detail"], _written(value["detail"]), kind, value["source"], value.get("id"))


def _cloudevents(value: dict[str, Any]) -> Content | None:
    """CloudEvents 1.0 in its JSON format, structured mode."""
    if not isinstance(value.get("specversion"), str):
        return None
    source, id_, kind = value.get("source"), value.get("id"), value.get("type")
    if not (isinstance(source, str) and isinstance(id_, str) and isinstance(kind, str)):
        return None
    body, encoded = value.get("data"), value.get("data_base64")
    if encoded is None:
        text = _written(body)
    elif body is not None:
        # The two exclude each other (JSON format, §3.1.1): which of them is meant cannot be known.
        raise NotUnderstood(ConsumerReason.DATA)
    else:
        text = _decoded(encoded)
        body = _value(text, value.get("datacontenttype"))
    # Source and id together make an event distinct (CloudEvents 1.0 §3.1).
    return Content(body, text, kind, source, f"{source} {id_}")


_FORMATS: dict[str, Callable[[dict[str, Any]], Content | None]] = {
    "detail-type": _eventbridge,
    "specversion": _cloudevents,
}
"""Each format by a field that its events always have, so that a plain message does not pay for a call."""


def _written(value: Any) -> str:
    try:
        return as_text(value)
    except TypeError:
        raise NotUnderstood(ConsumerReason.DATA) from None


def _decoded(encoded: Any) -> str:
    try:
        return decode_base64(encoded, ConsumerReason.DATA).decode()
    except UnicodeDecodeError:
        raise NotUnderstood(ConsumerReason.ENCODING) from None


def _value(text: str, content_type: Any) -> Any:
    """The value of a decoded text. Without a content type the text may be JSON (JSON format, §3.1)."""
    if content_type is not None and not (isinstance(content_type, str) and _JSON_TYPE.match(content_type)):
        return text
    value = parse(text)
    return text if value is NOT_JSON else value
