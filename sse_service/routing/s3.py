"""Reads S3's event notifications."""

from __future__ import annotations

import re
from typing import Any
from urllib.parse import unquote_plus

from consumers.errors import NotUnderstood
from sse_service.model.reasons import RejectionReason

_KEY_PART = re.compile(r"(\{user\}|\*)")


def is_test_event(body: dict[str, Any]) -> bool:
    """Whether S3 sent the message to test a new notification. It is for nobody, and nothing is wrong with it."""
    return body.get("Service") == "Amazon S3" and body.get("Event") == "s3:TestEvent"


def records(body: dict[str, Any]) -> list[dict[str, Any]] | None:
    """The records of a notification; None for any other body."""
    found = body.get("Records")
    if not isinstance(found, list) or not found:
        return None
    if not all(isinstance(r, dict) and r.get("eventSource") == "aws:s3" for r in found):
        return None
    return found


def record_key(record: dict[str, Any]) -> str:
    """The decoded key of a record. Notifications URL-encode it, with ``+`` for a space. Raises NotUnderstood."""
    try:
        found = record["s3"]["object"]["key"]
    except (KeyError, TypeError):
        raise NotUnderstood(RejectionReason.S3) from None
    if not isinstance(found, str):
        raise NotUnderstood(RejectionReason.S3)
    return unquote_plus(found)


def key_pattern(pattern: str) -> re.Pattern[str]:
    """Compile a pattern such as ``users/{user}/*``: ``{user}`` is one path segment, ``*`` any text.

    Raises ValueError unless the pattern contains ``{user}`` exactly once.
    """
    if pattern.count("{user}") != 1:
        raise ValueError("must contain {user} exactly once")
    parts = {"{user}": "(?P<user>[^/]+)", "*": ".*"}
    return re.compile("".join(parts.get(p, re.escape(p)) for p in _KEY_PART.split(pattern)), re.DOTALL)
