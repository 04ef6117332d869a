"""Removes the wrappers of SNS, EventBridge and CloudEvents: one queue message in, one Envelope out."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, NamedTuple

from consumers.errors import ConsumerReason, NotUnderstood
from consumers.event_formats import extract_content
from consumers.sns import attribute_value, is_fraction, is_truncated_notification, read_notification
from consumers.text import NOT_JSON, check_unicode, parse


class Envelope(NamedTuple):
    """One message without its wrapper."""

    message_id: str
    """The queue's id of the message. Logs use it."""
    event_id: str
    """The producer's or SNS's id: the same in every copy of the message."""
    body: Any
    """The message parsed as JSON, or its text if it is not JSON."""
    text: str
    """The message as text: the producer's own, or compact JSON of the part that a wrapper contained."""
    attributes: Mapping[str, Any]
    """SNS or SQS message attributes by name. A ``String.Array`` is a list, a ``Binary`` is bytes."""
    time: str | None = None
    """When the message was published, in RFC 3339: the wrapper's time, or else when SQS received it."""
    source: str | None = None
    type: str | None = None
    subject: str | None = None
    wrapper: Mapping[str, Any] | None = None
    """The whole EventBridge event or CloudEvent that contained ``body``."""
    fractions: frozenset[str] = frozenset()
    """The names of the attributes of type ``Number`` that are not integers. All numbers are texts in ``attributes``."""
    trace: str | None = None
    """SQS's ``AWSTraceHeader``, if the consumer asks for it. A Handler may hand on another trace in its place."""


def unwrap(
    *,
    message_id: str,
    body: str,
    attributes: Mapping[str, Mapping[str, Any]] | None = None,
    sent_ms: int | None = None,
    trace: str | None = None,
) -> Envelope:
    """Make an Envelope of an SQS message with its ``MessageAttributes``.

    ``sent_ms`` is SQS's ``SentTimestamp``, milliseconds since 1970. It is used if no wrapper gives a time.
    ``trace`` is SQS's ``AWSTraceHeader``.
    Raises NotUnderstood for a broken wrapper, a subscription confirmation, U+0000, or text that is not Unicode.
    """
    if not body.isascii():
        check_unicode(body)
    value = parse(body)
    if value is NOT_JSON and is_truncated_notification(body):
        raise NotUnderstood(ConsumerReason.ENVELOPE)
    event_id, source, subject, time = message_id, None, None, None
    fractions: frozenset[str] = frozenset()
    if isinstance(value, dict) and "TopicArn" in value and (wrapped := read_notification(value)) is not None:
        event_id, source, body, subject, time, read_attributes, fractions = wrapped
        value = parse(body)
    elif attributes:
        read_attributes = {
            name: attribute_value(name, a.get("DataType"), a.get("StringValue") or a.get("BinaryValue"))
            for name, a in attributes.items()
        }
        fractions = frozenset(
            name for name, a in attributes.items() if is_fraction(a.get("DataType"), a.get("StringValue"))
        )
    else:
        read_attributes = {}
    if "\0" in body:
        raise NotUnderstood(ConsumerReason.NUL)
    if time is None and sent_ms is not None:
        time = _rfc3339(sent_ms)
    content = extract_content(value) if isinstance(value, dict) else None
    if content is None:
        parsed = body if value is NOT_JSON else value
        return Envelope(
            message_id, event_id, parsed, body, read_attributes, time, source, None, subject, None, fractions, trace
        )
    return Envelope(
        message_id=message_id,
        event_id=content.id if isinstance(content.id, str) and content.id else event_id,
        body=content.body,
        text=content.text,
        attributes=read_attributes,
        time=_string(content.time) or time,
        source=_string(content.source),
        type=content.type,
        subject=_string(content.subject) or subject,
        wrapper=value,
        fractions=fractions,
        trace=trace,
    )


def _string(value: Any) -> str | None:
    return value if isinstance(value, str) and value else None


def _rfc3339(milliseconds: int) -> str | None:
    try:
        moment = datetime.fromtimestamp(milliseconds / 1000, UTC)
    except (ValueError, OverflowError, OSError):
        return None
    return moment.isoformat(timespec="milliseconds").removesuffix("+00:00") + "Z"
