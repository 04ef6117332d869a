"""Reads the events of S3: its own notifications, and those that come through EventBridge."""

from __future__ import annotations

import re
from typing import Any
from urllib.parse import unquote_plus

from consumers.errors import NotUnderstood
from sse_service.model.reasons import RejectionReason
from sse_service.routing.fields import has_control

EVENTBRIDGE_SOURCE = "aws.s3"
"""The ``source`` of S3's events in EventBridge."""

_NO_KEY = "the record has no object key"
_KEY_PART = re.compile(r"(\{user\}|\*)")


def is_test_event(body: dict[str, Any]) -> bool:
    """Whether S3 sent the message to test a new notification. It has no event, and is not an error."""
    return body.get("Service") == "Amazon S3" and body.get("Event") == "s3:TestEvent"


def records(body: dict[str, Any]) -> list[Any] | None:
    """Return all records of a body in which at least one is from S3; None for any other body."""
    found = body.get("Records")
    return found if isinstance(found, list) and any(map(_is_from_s3, found)) else None


def check_record(record: Any) -> dict[str, Any]:
    """Return a record that is from S3. Raises NotUnderstood for any other value."""
    if not _is_from_s3(record):
        raise NotUnderstood(RejectionReason.S3, "the record is not from S3")
    found: dict[str, Any] = record
    return found


def _is_from_s3(record: Any) -> bool:
    return isinstance(record, dict) and record.get("eventSource") == "aws:s3"


def record_key(record: dict[str, Any]) -> str:
    """Return the decoded key of a record. Notifications URL-encode it, with ``+`` for a space. Raises NotUnderstood."""
    try:
        found = record["s3"]["object"]["key"]
    except (KeyError, TypeError):
        raise NotUnderstood(RejectionReason.S3, _NO_KEY) from None
    if not isinstance(found, str):
        raise NotUnderstood(RejectionReason.S3, _NO_KEY)
    return unquote_plus(found)


def eventbridge_key(detail: Any) -> str | None:
    """Return the key in an EventBridge event's detail, which is not encoded; None if there is no object."""
    try:
        key, bucket = detail["object"]["key"], detail["bucket"]["name"]
    except (KeyError, TypeError):
        return None
    return key if isinstance(key, str) and isinstance(bucket, str) else None


def subject(key: str) -> str | None:
    """Return the key as a subject. A key with a control character gives no subject, but the event is valid."""
    return None if has_control(key) else key


def key_pattern(pattern: str) -> re.Pattern[str]:
    """Compile a pattern such as ``users/{user}/*``: ``{user}`` is one path segment, ``*`` any text.

    Raises ValueError unless the pattern contains ``{user}`` exactly once.
    """
    if pattern.count("{user}") != 1:
        raise ValueError("must contain {user} exactly once")
    parts = {"{user}": "(?P<user>[^/]+)", "*": ".*"}
    return re.compile("".join(parts.get(p, re.escape(p)) for p in _KEY_PART.split(pattern)), re.DOTALL)
