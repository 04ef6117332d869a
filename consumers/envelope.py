"""Removes the wrappers of SNS, EventBridge and CloudEvents: one queue message in, one Envelope out."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, NamedTuple

from consumers.errors import ConsumerReason, NotUnderstood
from consumers.formats import content
from consumers.sns import attribute, is_cut, notification
from consumers.text import NOT_JSON, check_unicode, parse


class Envelope(NamedTuple):
    """One message without its wrapper."""

    message_id: str
    """The queue's id of the message. Logs use it."""
    event_id: str
    """The producer's or SNS's id: the same in every copy of the message."""
    body: Any
    """The message as a value; its text if it is not JSON."""
    text: str
    """The message as text: the producer's own, or compact JSON of what was cut out of a wrapper."""
    attributes: Mapping[str, Any]
    """SNS or SQS message attributes by name. A ``String.Array`` is a list, a ``Binary`` is bytes."""
    time: str | None = None
    """When it was published, RFC 3339: the wrapper's time, else when SQS received it."""
    source: str | None = None
    type: str | None = None
    subject: str | None = None
    wrapper: Mapping[str, Any] | None = None
    """The whole EventBridge event or CloudEvent from which ``body`` was cut out."""


def unwrap(
    *,
    message_id: str,
    body: str,
    attributes: Mapping[str, Mapping[str, Any]] | None = None,
    sent_ms: int | None = None,
) -> Envelope:
    """Make an Envelope of an SQS message with its ``MessageAttributes``.

    ``sent_ms`` is SQS's ``SentTimestamp``, milliseconds since 1970. It is used if no wrapper gives a time.
    Raises NotUnderstood for a broken wrapper, a subscription confirmation, U+0000, and text that is not Unicode.
    """
    if not body.isascii():
        check_unicode(body)
    value = parse(body)
    if value is NOT_JSON and is_cut(body):
        raise NotUnderstood(ConsumerReason.ENVELOPE)
    event_id, source, subject, time = message_id, None, None, None
    if isinstance(value, dict) and "TopicArn" in value and (wrapped := notification(value)) is not None:
        event_id, source, body, subject, time, found = wrapped
        value = parse(body)
    elif attributes:
        found = {
            name: attribute(a.get("DataType"), a.get("StringValue") or a.get("BinaryValue"))
            for name, a in attributes.items()
        }
    else:
        found = {}
    if "\0" in body:
        raise NotUnderstood(ConsumerReason.NUL)
    if time is None and sent_ms is not None:
        time = _rfc3339(sent_ms)
    cut = content(value) if isinstance(value, dict) else None
    if cut is None:
        return Envelope(
            message_id, event_id, body if value is NOT_JSON else value, body, found, time, source, None, subject
        )
    return Envelope(
        message_id=message_id,
        event_id=cut.id if isinstance(cut.id, str) and cut.id else event_id,
        body=cut.body,
        text=cut.text,
        attributes=found,
        time=_string(value.get("time")) or time,
        source=_string(cut.source),
        type=cut.type,
        subject=_string(value.get("subject")) or subject,
        wrapper=value,
    )


def _string(value: Any) -> str | None:
    return value if isinstance(value, str) and value else None


def _rfc3339(milliseconds: int) -> str | None:
    try:
        moment = datetime.fromtimestamp(milliseconds / 1000, UTC)
    except (ValueError, OverflowError, OSError):
        return None
    return moment.isoformat(timespec="milliseconds").removesuffix("+00:00") + "Z"
