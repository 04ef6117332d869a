"""Unwraps SNS, EventBridge and CloudEvents: one queue message in, one Envelope out."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, NamedTuple

import orjson

from consumers.errors import ConsumerReason, NotUnderstood

_CUT_SNS = re.compile(r'\s*\{\s*"Type"\s*:\s*"Notification"')


class Envelope(NamedTuple):
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
    if not body.isascii():
        try:
            body.encode()
        except UnicodeEncodeError:
            raise NotUnderstood(ConsumerReason.ENCODING) from None
    value = _parse(body)
    if value is _TEXT and _CUT_SNS.match(body):
        raise NotUnderstood(ConsumerReason.ENVELOPE)
    time = source = subject = None
    event_id = message_id
    if isinstance(value, dict) and value.get("Type") == "Notification" and "TopicArn" in value:
        event_id, time, source, subject, body, found = _sns(value)
        value = _parse(body)
    elif attributes:
        found = {name: _attribute(a.get("DataType"), a.get("StringValue")) for name, a in attributes.items()}
    else:
        found = {}
    if "\0" in body:
        raise NotUnderstood(ConsumerReason.NUL)
    if time is None and sent_ms is not None:
        time = _rfc3339(sent_ms)
    inner = _inner(value) if isinstance(value, dict) else None
    if inner is None:
        return Envelope(
            message_id, event_id, body if value is _TEXT else value, body, found, time, source, None, subject
        )
    cut, inner_id, kind = inner
    try:
        text = as_text(cut)
    except TypeError:
        raise NotUnderstood(ConsumerReason.DATA) from None
    return Envelope(
        message_id=message_id,
        event_id=inner_id if isinstance(inner_id, str) and inner_id else event_id,
        body=cut,
        text=text,
        attributes=found,
        time=_string(value.get("time")) or time,
        source=_string(value["source"]),
        type=kind,
        subject=_string(value.get("subject")) or subject,
    )


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
    if not (isinstance(message_id, str) and isinstance(message, str) and isinstance(topic, str)):
        raise NotUnderstood(ConsumerReason.ENVELOPE)
    if not (time is None or isinstance(time, str)) or not (subject is None or isinstance(subject, str)):
        raise NotUnderstood(ConsumerReason.ENVELOPE)
    try:
        found = {name: _attribute(a.get("Type"), a.get("Value")) for name, a in raw.items()}
    except AttributeError:
        raise NotUnderstood(ConsumerReason.ENVELOPE) from None
    return message_id, time, topic, subject, message, found


def _attribute(kind: Any, value: Any) -> Any:
    """An attribute's value; SNS writes a ``String.Array`` as JSON."""
    if kind != "String.Array" or not isinstance(value, str):
        return value
    parsed = _parse(value)
    if not isinstance(parsed, list):
        raise NotUnderstood(ConsumerReason.ATTRIBUTE)
    return parsed


def _inner(value: dict[str, Any]) -> tuple[Any, Any, str] | None:
    """The payload, id and type of the EventBridge or CloudEvents event that a body is; None where it is none."""
    if isinstance(value.get("detail-type"), str) and "source" in value and "detail" in value:
        return value["detail"], value.get("id"), value["detail-type"]
    if isinstance(value.get("specversion"), str) and all(isinstance(value.get(k), str) for k in _CLOUD):
        # CloudEvents 1.0 §3.1: source + id is what makes an event distinct
        return value.get("data"), f"{value['source']} {value['id']}", value["type"]
    return None


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
