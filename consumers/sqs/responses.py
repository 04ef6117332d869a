"""Parses SQS's answers, and checks every field before it is used."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import orjson

from consumers.errors import MalformedAnswer

_MEMBERS = ("Messages", "Successful", "Failed", "Attributes")


class ReceivedMessage(NamedTuple):
    """One message of a receive."""

    message_id: str
    handle: str
    """The receipt handle. It is enough to delete the message, so it is never logged."""
    body: str
    attributes: Mapping[str, Mapping[str, Any]]
    sent_ms: int | None
    """When the message was sent to the queue, in milliseconds since 1970."""
    trace: str | None
    """The ``AWSTraceHeader``, unchecked."""


@dataclass(frozen=True, slots=True)
class BatchResult:
    """The result of a batch call. Entries are identified by their index."""

    succeeded: list[int]
    refused: dict[int, str]
    """Error codes of entries for which a retry is useless (``SenderFault``)."""
    retryable: dict[int, str]
    """Error codes of entries that are worth a retry."""


def parse_response(response_dict: dict[str, Any], customized_response_dict: dict[str, Any], **_: Any) -> None:
    """Parse a response in place of botocore. This is a handler of botocore's event ``before-parse.sqs``.

    botocore takes an HTML page for an empty answer, and one malformed message makes it reject all the others.
    Raises MalformedAnswer for a success that is not a JSON object.
    """
    body = response_dict["body"]
    if response_dict["status_code"] < 300:
        if (found := parse_success(body)) is None:
            raise MalformedAnswer("not a JSON object")
        customized_response_dict.update(found)
        response_dict["body"] = b""
    elif not isinstance((_json_object(body) or {}).get("__type"), str):
        # botocore's parser fails on such a body. With an empty one, it uses the status as the error code.
        response_dict["body"] = b""


def parse_success(body: bytes) -> dict[str, Any] | None:
    """Return the members of a success that a consumer uses; None for a body that is not a JSON object."""
    value = _json_object(body)
    return None if value is None else {name: value[name] for name in _MEMBERS if name in value}


def parse_messages(answer: Mapping[str, Any]) -> tuple[list[ReceivedMessage], int]:
    """Return the valid messages of a receive, and the number of others, which lack an id, a receipt handle or a body.

    Raises MalformedAnswer if no message is valid.
    """
    found = answer.get("Messages")
    if found is None:
        return [], 0
    if not isinstance(found, list):
        raise MalformedAnswer("messages are not a list")
    good = [message for message in map(_message, found) if message is not None]
    if found and not good:
        raise MalformedAnswer("every message lacks an id, a handle or a body")
    return good, len(found) - len(good)


def parse_batch_result(answer: Mapping[str, Any], count: int) -> BatchResult:
    """Sort the ``count`` entries of a batch by their result. Their ids are their indexes. Raises MalformedAnswer."""
    result = BatchResult(succeeded=[], refused={}, retryable=dict.fromkeys(range(count), "Unanswered"))
    try:
        for entry in answer.get("Failed") or ():
            index = int(entry["Id"])
            result.retryable.pop(index)
            (result.refused if entry["SenderFault"] else result.retryable)[index] = as_label(entry["Code"])
        for entry in answer.get("Successful") or ():
            result.retryable.pop(int(entry["Id"]))
            result.succeeded.append(int(entry["Id"]))
    except (TypeError, KeyError, ValueError):
        raise MalformedAnswer("not the result of a batch") from None
    return result


def as_label(code: Any) -> str:
    """Return an error code if it is fit for logs and metrics, otherwise ``Other``.

    The code comes from the network, so its length and its characters are limited.
    """
    return code if isinstance(code, str) and 0 < len(code) <= 64 and _is_label(code) else "Other"


def _is_label(code: str) -> bool:
    return code.isascii() and code.replace(".", "").replace("-", "").replace("_", "").isalnum()


def _json_object(body: bytes) -> dict[str, Any] | None:
    try:
        value = orjson.loads(body)
    except orjson.JSONDecodeError:
        # orjson rejects the whole answer if one message has a lone surrogate. The standard parser accepts it.
        try:
            value = json.loads(body)
        except (ValueError, RecursionError):
            return None
    return value if isinstance(value, dict) else None


def _message(value: Any) -> ReceivedMessage | None:
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
    return ReceivedMessage(message_id, handle, body, attributes, *_system_attributes(value.get("Attributes")))


def _system_attributes(attributes: Any) -> tuple[int | None, str | None]:
    """Return the ``SentTimestamp`` and the ``AWSTraceHeader``."""
    if not isinstance(attributes, dict):
        return None, None
    sent, trace = attributes.get("SentTimestamp"), attributes.get("AWSTraceHeader")
    # A valid timestamp has 13 digits, and int() raises beyond 4300.
    sent_ms = int(sent) if isinstance(sent, str) and sent.isascii() and sent.isdigit() and len(sent) < 20 else None
    return sent_ms, trace if isinstance(trace, str) else None
