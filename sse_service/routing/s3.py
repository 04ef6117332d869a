"""Reads S3's event notifications."""

from __future__ import annotations

import re
from typing import Any
from urllib.parse import unquote_plus

from sse_service.model.errors import NotUnderstood

_KEY_PART = re.compile(r"(\{user\}|\*)")


def is_test(body: dict[str, Any]) -> bool:
    """Whether the message is S3's own test of a new notification, which is for nobody and no fault."""
    return body.get("Service") == "Amazon S3" and body.get("Event") == "s3:TestEvent"


def records(body: dict[str, Any]) -> list[dict[str, Any]] | None:
    """The records of a notification; None for any other body."""
    found = body.get("Records")
    if not isinstance(found, list) or not found:
        return None
    if not all(isinstance(r, dict) and r.get("eventSource") == "aws:s3" for r in found):
        return None
    return found


def key(record: dict[str, Any]) -> str:
    """The decoded key: notifications carry it URL-encoded, with ``+`` for a space. Raises NotUnderstood."""
    try:
        found = record["s3"]["object"]["key"]
    except (KeyError, TypeError):
        raise NotUnderstood("s3") from None
    if not isinstance(found, str):
        raise NotUnderstood("s3")
    return unquote_plus(found)


def key_pattern(pattern: str) -> re.Pattern[str]:
    """Compile a pattern as ``users/{user}/*``: ``{user}`` is one path segment, ``*`` any text.

    Raises ValueError unless ``{user}`` stands in the pattern exactly once.
    """
    if pattern.count("{user}") != 1:
        raise ValueError("must contain {user} exactly once")
    parts = {"{user}": "(?P<user>[^/]+)", "*": ".*"}
    return re.compile("".join(parts.get(p, re.escape(p)) for p in _KEY_PART.split(pattern)), re.DOTALL)
