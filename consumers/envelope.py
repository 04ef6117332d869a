"""Unwraps SNS, EventBridge and CloudEvents: one queue message in, one Envelope out."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import orjson

from consumers.errors import NotUnderstood

_CUT_SNS = re.compile(r'\s*\{\s*"Type"\s*:\s*"Notification"')


@dataclass(frozen=True, slots=True)
class Envelope:
    """One message without its wrapper."""

    message_id: str
    """The queue's id of the message: what logs name it by."""
    event_id: str
    """The producer's or SNS's id: the same in every copy of the message."""
    body: Any
    """The message as a value; its text where it is no JSON."""
    text: str
    """The message as text: the producer's own, or compact JSON of what was cut out of a wrapper."""
    attributes: Mapping[str, Any]
    """SNS or SQS message attributes by name; a ``String.Array`` is a list."""
    time: str | None = None
    """When it was published, RFC 3339: as the wrapper says, else when SQS took it."""
    source: str | None = None
    type: str | None = None
    subject: str | None = None


def unwrap(
    *,
    message_id: str,
    body: str,
    attributes: Mapping[str, Mapping[str, Any]] | None = None,
    sent_ms: int | None = None,
) -> Envelope:
    """Make an Envelope of an SQS message with its ``MessageAttributes``.

    ``sent_ms`` is SQS's own ``SentTimestamp``, milliseconds since 1970, for a message whose wrapper tells no time.
    Raises NotUnderstood for a broken SNS envelope, for U+0000, and for text that is no UTF-8.
    """
    try:
        body.encode()
    except UnicodeEncodeError:
        raise NotUnderstood("encoding") from None
    value = _parse(body)
    if value is _TEXT and _CUT_SNS.match(body):
        raise NotUnderstood("envelope")
    time = source = subject = None
    event_id = message_id
    if isinstance(value, dict) and value.get("Type") == "Notification" and "TopicArn" in value:
        event_id, time, source, subject, body, found = _sns(value)
        value = _parse(body)
    else:
        found = {name: _attribute(a.get("DataType"), a.get("StringValue")) for name, a in (attributes or {}).items()}
    if "\0" in body:
        raise NotUnderstood("nul")
    if time is None and sent_ms is not None:
        time = _rfc3339(sent_ms)
    plain = Envelope(
        message_id=message_id,
        event_id=event_id,
        body=body if value is _TEXT else value,
        text=body,
        attributes=found,
        time=time,
        source=source,
        subject=subject,
    )
    return _inner(plain) if isinstance(value, dict) else plain


_TEXT = object()


def _parse(text: str) -> Any:
    """The value, or the sentinel where the text is no JSON: NaN, lone surrogates and great depth included."""
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError:
        return _TEXT


def _sns(value: dict[str, Any]) -> tuple[str, str | None, str, str | None, str, dict[str, Any]]:
    message_id, message, topic = value.get("MessageId"), value.get("Message"), value["TopicArn"]
    time, subject, raw = value.get("Timestamp"), value.get("Subject"), value.get("MessageAttributes") or {}
    if not all(isinstance(text, str) for text in (message_id, message, topic)):
        raise NotUnderstood("envelope")
    if not all(text is None or isinstance(text, str) for text in (time, subject)):
        raise NotUnderstood("envelope")
    if not isinstance(raw, dict) or not all(isinstance(a, dict) for a in raw.values()):
        raise NotUnderstood("envelope")
    found = {name: _attribute(a.get("Type"), a.get("Value")) for name, a in raw.items()}
    return str(message_id), time, topic, subject, str(message), found


def _attribute(kind: Any, value: Any) -> Any:
    """An attribute's value; SNS writes a ``String.Array`` as JSON."""
    if kind != "String.Array" or not isinstance(value, str):
        return value
    parsed = _parse(value)
    if not isinstance(parsed, list):
        raise NotUnderstood("attribute")
    return parsed


def _inner(plain: Envelope) -> Envelope:
    """The EventBridge or CloudEvents event that the body is, or the Envelope as it was."""
    value = plain.body
    if isinstance(value.get("detail-type"), str) and "source" in value and "detail" in value:
        cut, event_id, kind = value["detail"], value.get("id"), value["detail-type"]
    elif isinstance(value.get("specversion"), str) and all(isinstance(value.get(k), str) for k in _CLOUD):
        # CloudEvents 1.0 §3.1: source + id is what makes an event distinct
        cut, event_id, kind = value.get("data"), f"{value['source']} {value['id']}", value["type"]
    else:
        return plain
    try:
        text = as_text(cut)
    except TypeError:
        raise NotUnderstood("data") from None
    return Envelope(
        message_id=plain.message_id,
        event_id=event_id if isinstance(event_id, str) and event_id else plain.event_id,
        body=cut,
        text=text,
        attributes=plain.attributes,
        time=_string(value.get("time")) or plain.time,
        source=_string(value["source"]),
        type=kind,
        subject=_string(value.get("subject")) or plain.subject,
    )


def _rfc3339(milliseconds: int) -> str | None:
    try:
        moment = datetime.fromtimestamp(milliseconds / 1000, UTC)
    except (ValueError, OverflowError, OSError):
        return None
    return moment.isoformat(timespec="milliseconds").removesuffix("+00:00") + "Z"


_CLOUD = ("id", "source", "type")


def _string(value: Any) -> str | None:
    return value if isinstance(value, str) and value else None


def as_text(value: Any) -> str:
    """A string as it is, null as empty, anything else as compact JSON.

    Raises TypeError for what is nested too deep: orjson reads 1024 levels, but writes 254.
    """
    if value is None:
        return ""
    return value if isinstance(value, str) else orjson.dumps(value).decode()
