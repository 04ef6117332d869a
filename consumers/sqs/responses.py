"""What SQS answers, judged before it is believed."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import orjson

from consumers.errors import MalformedAnswer

_MEMBERS = ("Messages", "Successful", "Failed", "Attributes")


class Received(NamedTuple):
    """One message of a receive."""

    message_id: str
    handle: str
    """What deletes it or extends its visibility; a secret of the receive, never logged."""
    body: str
    attributes: Mapping[str, Mapping[str, Any]]
    sent_ms: int | None
    """When SQS took it, milliseconds since 1970."""


@dataclass(frozen=True, slots=True)
class BatchResult:
    """What became of a batch's entries, by their index."""

    done: list[int]
    refused: dict[int, str]
    """Error codes of what fails again however often it is tried: ``SenderFault``."""
    again: dict[int, str]
    """Error codes of what is worth another try."""


def judge(response_dict: dict[str, Any], customized_response_dict: dict[str, Any], **_: Any) -> None:
    """Parse in botocore's place; a handler of its event ``before-parse.sqs``.

    botocore takes a page of HTML for an empty answer, and one odd message ends its parsing of all others.
    Raises MalformedAnswer for a success that is no JSON object.
    """
    body = response_dict["body"]
    if response_dict["status_code"] < 300:
        if (found := members(body)) is None:
            raise MalformedAnswer("no JSON object")
        customized_response_dict.update(found)
        response_dict["body"] = b""
    elif not isinstance((_object(body) or {}).get("__type"), str):
        # botocore would fail on it; without a body it makes the status the error's code.
        response_dict["body"] = b""


def members(body: bytes) -> dict[str, Any] | None:
    """What a success says, as far as a consumer asks; None for what is no JSON object."""
    value = _object(body)
    return None if value is None else {name: value[name] for name in _MEMBERS if name in value}


def messages(answer: Mapping[str, Any]) -> tuple[list[Received], int]:
    """A receive's messages, and how many more there are that lack what every message has.

    Raises MalformedAnswer where there is nothing but such.
    """
    found = answer.get("Messages")
    if found is None:
        return [], 0
    if not isinstance(found, list):
        raise MalformedAnswer("messages are no list")
    good = [message for message in map(_message, found) if message is not None]
    if found and not good:
        raise MalformedAnswer("no message is whole")
    return good, len(found) - len(good)


def batch_result(answer: Mapping[str, Any], count: int) -> BatchResult:
    """Sort a batch of so many entries, whose ids are their indexes. Raises MalformedAnswer."""
    result = BatchResult(done=[], refused={}, again=dict.fromkeys(range(count), "Unanswered"))
    try:
        for entry in answer.get("Failed") or ():
            index = int(entry["Id"])
            result.again.pop(index)
            (result.refused if entry["SenderFault"] else result.again)[index] = label(entry["Code"])
        for entry in answer.get("Successful") or ():
            result.again.pop(int(entry["Id"]))
            result.done.append(int(entry["Id"]))
    except (TypeError, KeyError, ValueError):
        raise MalformedAnswer("no result of a batch") from None
    return result


def label(code: Any) -> str:
    """An error code as a metric may have it: what a stranger's answer says must not fill logs and label values."""
    return code if isinstance(code, str) and 0 < len(code) <= 64 and _plain(code) else "Other"


def _plain(code: str) -> bool:
    return code.isascii() and code.replace(".", "").replace("-", "").replace("_", "").isalnum()


def _object(body: bytes) -> dict[str, Any] | None:
    try:
        value = orjson.loads(body)
    except orjson.JSONDecodeError:
        # A lone surrogate in one message is that message's fault, and orjson's reason to refuse all of them.
        try:
            value = json.loads(body)
        except (ValueError, RecursionError):
            return None
    return value if isinstance(value, dict) else None


def _message(value: Any) -> Received | None:
    if not isinstance(value, dict):
        return None
    message_id, handle, body = value.get("MessageId"), value.get("ReceiptHandle"), value.get("Body")
    attributes = value.get("MessageAttributes") or {}
    if not (isinstance(message_id, str) and isinstance(handle, str) and isinstance(body, str)):
        return None
    if not message_id or not handle:
        return None
    if attributes and not (isinstance(attributes, dict) and all(isinstance(a, dict) for a in attributes.values())):
        return None
    return Received(message_id, handle, body, attributes, _sent(value.get("Attributes")))


def _sent(attributes: Any) -> int | None:
    sent = attributes.get("SentTimestamp") if isinstance(attributes, dict) else None
    # Longer is no time of this era, and beyond 4300 digits int() raises.
    return int(sent) if isinstance(sent, str) and sent.isascii() and sent.isdigit() and len(sent) < 20 else None
