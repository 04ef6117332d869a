"""Takes the content out of EventBridge events and CloudEvents."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, NamedTuple

from consumers.errors import ConsumerReason, NotUnderstood
from consumers.text import NOT_JSON, as_text, decode_base64, parse

# The subtype is json, or has the suffix +json (RFC 6838 §4.2.8).
_JSON_TYPE = re.compile(r"[^;]*[/+]json\s*(;|$)", re.IGNORECASE)


class Content(NamedTuple):
    """The content of an EventBridge event or a CloudEvent."""

    body: Any
    text: str
    type: str
    source: Any
    id: Any
    """The same in every copy of the event."""
    time: Any
    """When the event happened, RFC 3339."""
    subject: Any


def extract_content(value: dict[str, Any]) -> Content | None:
    """Return the content of an EventBridge event or a CloudEvent; None for any other object. Raises NotUnderstood."""
    for field, read in _FORMATS.items():
        if field in value and (content := read(value)) is not None:
            return content
    return None


def _eventbridge(value: dict[str, Any]) -> Content | None:
    """Read an EventBridge event, in the form that a rule without an input transformer delivers."""
    kind = value.get("detail-type")
    if not isinstance(kind, str) or "source" not in value or "detail" not in value:
        return None
    return Content(
        value["detail"],
        _to_text(value["detail"]),
        kind,
        value["source"],
        value.get("id"),
        value.get("time"),
        value.get("subject"),
    )


def _cloudevents(value: dict[str, Any]) -> Content | None:
    """Read a CloudEvent 1.0 in JSON format, structured mode."""
    if not isinstance(value.get("specversion"), str):
        return None
    source, id_, kind = value.get("source"), value.get("id"), value.get("type")
    if not (isinstance(source, str) and isinstance(id_, str) and isinstance(kind, str)):
        return None
    body, encoded = value.get("data"), value.get("data_base64")
    if encoded is None:
        text = _to_text(body)
    elif body is not None:
        # An event must not have both (CloudEvents JSON format, §3.1.1), and nothing tells which one is meant.
        raise NotUnderstood(ConsumerReason.DATA, "the CloudEvent has both data and data_base64; send one of them")
    else:
        text = _decode(encoded)
        body = _parse(text, value.get("datacontenttype"))
    # Source and id together identify an event (CloudEvents 1.0 §3.1).
    return Content(body, text, kind, source, f"{source} {id_}", value.get("time"), value.get("subject"))


_FORMATS: dict[str, Callable[[dict[str, Any]], Content | None]] = {
    "detail-type": _eventbridge,
    "specversion": _cloudevents,
}
"""Readers by a field that all events of their format have. A plain message costs no function call."""


def _to_text(value: Any) -> str:
    try:
        return as_text(value)
    except TypeError:
        raise NotUnderstood(ConsumerReason.DATA) from None


def _decode(encoded: Any) -> str:
    try:
        return decode_base64(encoded, ConsumerReason.DATA).decode()
    except UnicodeDecodeError:
        raise NotUnderstood(ConsumerReason.ENCODING) from None


def _parse(text: str, content_type: Any) -> Any:
    """Parse decoded data if it is JSON. Without a content type it may be (CloudEvents JSON format, §3.1)."""
    if content_type is not None and not (isinstance(content_type, str) and _JSON_TYPE.match(content_type)):
        return text
    value = parse(text)
    return text if value is NOT_JSON else value
