"""Finds messages in what an operator has at hand: the output of ``aws sqs receive-message``, one message, or a body."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from sse_service.model.values import value

if TYPE_CHECKING:
    from collections.abc import Mapping


@value
class QueueMessage:
    """What a consumer gets of one message."""

    id: str
    body: str
    attributes: Mapping[str, Mapping[str, Any]]


def read_messages(text: str) -> list[QueueMessage]:
    """Return the messages of a text. What is neither SQS's answer nor one of its messages is the body of one.

    Raises ValueError if a message of SQS's answer has no body.
    """
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        found = None
    if isinstance(found, dict) and isinstance(found.get("Messages"), list):
        return [_message(each, number) for number, each in enumerate(found["Messages"], 1)]
    if isinstance(found, dict) and isinstance(found.get("Body"), str):
        return [_message(found, 1)]
    # A file ends with a line end, which `echo` and editors add.
    return [QueueMessage("1", text.removesuffix("\n"), {})]


def _message(found: Any, number: int) -> QueueMessage:
    body = found.get("Body") if isinstance(found, dict) else None
    attributes = found.get("MessageAttributes") or {} if isinstance(found, dict) else {}
    if not isinstance(body, str):
        raise ValueError(f"message {number} has no Body")
    if not (isinstance(attributes, dict) and all(isinstance(each, dict) for each in attributes.values())):
        raise ValueError(f"the MessageAttributes of message {number} are not an object of objects")
    return QueueMessage(str(found.get("MessageId") or number), body, attributes)
