"""Conversions between text and values: JSON, Base64 and Unicode."""

from __future__ import annotations

from base64 import b64decode
from typing import Any

import orjson

from consumers.errors import ConsumerReason, NotUnderstood

NOT_JSON = object()
"""``parse`` returns this for a text that is not JSON."""


def parse(text: str) -> Any:
    """Return the value of a JSON text, or ``NOT_JSON``. NaN, lone surrogates and very deep nesting are not accepted."""
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError:
        return NOT_JSON


def as_text(value: Any) -> str:
    """Return a string unchanged, an empty string for null, and compact JSON for anything else.

    Raises TypeError for a value that is nested too deeply: orjson reads 1024 levels, but writes 254.
    """
    if value is None:
        return ""
    return value if isinstance(value, str) else orjson.dumps(value).decode()


def decode_base64(value: Any, reason: ConsumerReason, advice: str = "") -> bytes:
    """Decode a Base64 text. Raises NotUnderstood with the given reason for anything else."""
    try:
        # Without validate, characters outside the alphabet are skipped. RFC 4648 §3.3 requires that they are rejected.
        return b64decode(value, validate=True)
    except (TypeError, ValueError):
        raise NotUnderstood(reason, advice) from None


def loggable_name(name: str) -> str:
    """Shorten the name of a message attribute for the log, and replace blanks and all that is not printable.

    Anyone who may send to the queue can choose the name, and could inject text into the log (CWE-117).
    """
    return "".join(character if character.isprintable() and character != " " else "?" for character in name[:64])


def check_unicode(text: str) -> None:
    """Raise NotUnderstood for a lone surrogate, which UTF-8 cannot encode."""
    try:
        text.encode()
    except UnicodeEncodeError:
        raise NotUnderstood(ConsumerReason.ENCODING) from None
