"""Reads the JSON that SNS puts into a queue, and the message attributes of SNS and SQS.

https://docs.aws.amazon.com/sns/latest/dg/sns-message-and-json-formats.html
"""

from __future__ import annotations

import re
from typing import Any, NamedTuple

from consumers.errors import ConsumerReason, NotUnderstood
from consumers.text import NOT_JSON, decode_base64, loggable_name, parse

_NOTIFICATION_START = re.compile(r'\s*\{\s*"Type"\s*:\s*"Notification"')
_INTEGER = re.compile(r"[+-]?[0-9]+")
_TOPIC = re.compile(r"arn:[a-z-]+:sns:[a-z0-9-]+:\d{12}:[A-Za-z0-9_.-]{1,256}", re.ASCII)
# SNS sends these if someone other than the queue's owner created the subscription.
_CONFIRMATIONS = {
    "SubscriptionConfirmation": "SNS asks to confirm that {topic} may send to this queue. If you want its events, run "
    "`aws sns confirm-subscription` with this topic and the Token in the message",
    "UnsubscribeConfirmation": "the subscription of this queue to {topic} was deleted. If you want its events, "
    "subscribe the queue again",
}


class Notification(NamedTuple):
    """A message that SNS delivered to the queue."""

    message_id: str
    topic_arn: str
    message: str
    subject: str | None
    time: str | None
    attributes: dict[str, Any]
    fractions: frozenset[str]


def is_truncated_notification(text: str) -> bool:
    """Whether a text that is not JSON starts like a notification."""
    return _NOTIFICATION_START.match(text) is not None


def read_notification(value: dict[str, Any]) -> Notification | None:
    """Read an object that has a ``TopicArn``; None if it is not from SNS.

    Raises NotUnderstood for a broken notification, and for a subscription confirmation.
    """
    kind, topic = value.get("Type"), value["TopicArn"]
    if kind != "Notification":
        if isinstance(kind, str) and kind in _CONFIRMATIONS:
            raise NotUnderstood(ConsumerReason.SUBSCRIPTION, _CONFIRMATIONS[kind].format(topic=_loggable(topic)))
        return None
    message_id, message = value.get("MessageId"), value.get("Message")
    subject, time = value.get("Subject"), value.get("Timestamp")
    if not (isinstance(message_id, str) and isinstance(message, str) and isinstance(topic, str)):
        raise NotUnderstood(ConsumerReason.ENVELOPE)
    if not (time is None or isinstance(time, str)) or not (subject is None or isinstance(subject, str)):
        raise NotUnderstood(ConsumerReason.ENVELOPE)
    raw = value.get("MessageAttributes") or {}
    try:
        attributes = {name: attribute_value(name, a.get("Type"), a.get("Value")) for name, a in raw.items()}
        fractions = frozenset(name for name, a in raw.items() if is_fraction(a.get("Type"), a.get("Value")))
    except AttributeError:
        raise NotUnderstood(ConsumerReason.ENVELOPE) from None
    return Notification(message_id, topic, message, subject, time, attributes, fractions)


def attribute_value(name: str, kind: Any, value: Any) -> Any:
    """Return an attribute's value: a list for ``String.Array``, bytes for ``Binary``, otherwise the value unchanged."""
    if kind == "String" or not isinstance(kind, str) or not isinstance(value, str):
        return value
    if kind.startswith("Binary"):
        return decode_base64(
            value, ConsumerReason.ATTRIBUTE, f"the message attribute {loggable_name(name)} is Binary, but not Base64"
        )
    if kind != "String.Array":
        return value
    parsed = parse(value)
    if parsed is NOT_JSON or not isinstance(parsed, list):
        raise NotUnderstood(
            ConsumerReason.ATTRIBUTE,
            f"the message attribute {loggable_name(name)} is a String.Array, but not a JSON array",
        )
    return parsed


def is_fraction(kind: Any, value: Any) -> bool:
    """Whether an attribute has the type ``Number``, and a value that is not an integer."""
    if kind == "String" or not isinstance(kind, str) or not kind.startswith("Number"):
        return False
    return not (isinstance(value, str) and _INTEGER.fullmatch(value))


def _loggable(topic: Any) -> str:
    # Anyone who may send to the queue can choose this text.
    return topic if isinstance(topic, str) and _TOPIC.fullmatch(topic) else "a topic without a valid ARN"
