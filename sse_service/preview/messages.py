"""Finds messages in what an operator has at hand: the output of ``aws sqs receive-message``, one message, or a body."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from sse_service.model.values import value

if TYPE_CHECKING:
    from collections.abc import Mapping

Attributes = dict[str, dict[str, Any]]
"""Message attributes as SQS has them: ``{"user_id": {"DataType": "String", "StringValue": "42"}}``."""


@value
class QueueMessage:
    """What a consumer gets of one message."""

    id: str
    body: str
    attributes: Mapping[str, Mapping[str, Any]]
    received: bool = False
    """Whether it is from an answer of SQS, which has a message's attributes only if the caller asked for them."""


def read_messages(data: bytes, *, attributes: str | None = None, raw: bool = False) -> list[QueueMessage]:
    """Return the messages of a file. What is neither SQS's answer nor one of its messages is the body of one.

    ``attributes`` are those of messages that have none, in one of the forms of ``read_attributes``. ``raw`` says that
    the file is a body, whatever it looks like. Raises ValueError if there is no message, or one is malformed.
    """
    # The service says itself what is wrong with bytes that are not UTF-8.
    text = data.decode(errors="surrogateescape")
    given = read_attributes(attributes) if attributes is not None else {}
    found = None if raw else _received(text)
    if found is not None:
        messages = [_message(each, number, given) for number, each in enumerate(found, 1)]
    else:
        # A file ends with a line end, which `echo` and editors add.
        body = text.removesuffix("\n").removesuffix("\r")
        messages = [QueueMessage("1", body, given)] if body else []
    if not messages:
        raise ValueError("there is no message. `aws sqs receive-message` prints none if it gets none: run it again")
    return messages


def read_attributes(text: str) -> Attributes:
    """Read message attributes: as SQS or SNS writes them, or as plain values. Raises ValueError."""
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        found = None
    if not isinstance(found, dict):
        raise ValueError('the message attributes must be a JSON object such as {"user_id":"42"}')
    return {name: _attribute(each) for name, each in found.items()}


def _attribute(given: Any) -> dict[str, Any]:
    match given:
        case {"Type": kind, "Value": text}:
            return {"DataType": kind, "StringValue": text}
        case dict():
            return given
        case str():
            return {"DataType": "String", "StringValue": given}
        case list():
            return {"DataType": "String.Array", "StringValue": json.dumps(given)}
        case int() | float() if not isinstance(given, bool):
            return {"DataType": "Number", "StringValue": json.dumps(given)}
        case _:
            return {"DataType": "String", "StringValue": json.dumps(given)}


def _received(text: str) -> list[Any] | None:
    """Return the messages of an answer of SQS; None if the text is not one."""
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        return None
    match found:
        case {"Messages": list(messages)}:
            return messages
        case {"Body": str()}:
            return [found]
        case [{"Body": str()}, *_]:
            # As after `--query Messages`.
            return list(found)
    return None


def _message(found: Any, number: int, given: Attributes) -> QueueMessage:
    body = found.get("Body") if isinstance(found, dict) else None
    if not isinstance(body, str):
        raise ValueError(f"message {number} has no Body")
    attributes = found.get("MessageAttributes") or given
    if not (isinstance(attributes, dict) and all(isinstance(each, dict) for each in attributes.values())):
        raise ValueError(f"the MessageAttributes of message {number} are not an object of objects")
    return QueueMessage(str(found.get("MessageId") or number), body, attributes, received=True)
