"""Turns text into values and values into text."""

from __future__ import annotations

from base64 import b64decode
from typing import Any

import orjson

from consumers.errors import ConsumerReason, NotUnderstood

NOT_JSON = object()
"""What ``parse`` returns for a text that is not JSON."""


def parse(text: str) -> Any:
    """The value of a JSON text, or ``NOT_JSON``. NaN, lone surrogates and great depth are not JSON."""
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError:
        return NOT_JSON


def as_text(value: Any) -> str:
    """A string as it is, null as empty, anything else as compact JSON.

    Raises TypeError for a value that is nested too deep: orjson reads 1024 levels, but writes 254.
    """
    if value is None:
        return ""
    return value if isinstance(value, str) else orjson.dumps(value).decode()


def decode_base64(value: Any, reason: ConsumerReason) -> bytes:
    """The bytes that a Base64 text stands for. Raises NotUnderstood with the given reason for anything else."""
    try:
        # validate: without it, characters outside the alphabet are skipped (RFC 4648 §3.3 requires to reject them).
        return b64decode(value, validate=True)
    except (TypeError, ValueError):
        raise NotUnderstood(reason) from None


def check_unicode(text: str) -> None:
    """Raises NotUnderstood for a lone surrogate, which UTF-8 cannot write."""
    try:
        text.encode()
    except UnicodeEncodeError:
        raise NotUnderstood(ConsumerReason.ENCODING) from None
