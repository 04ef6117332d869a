"""Checks the fields of an event, which come from a message or an override: type, subject, id and data."""

from __future__ import annotations

import re
from enum import StrEnum
from typing import Any

from consumers.errors import ConsumerReason, NotUnderstood
from consumers.text import as_text
from sse_service.model.reasons import RejectionReason

LINE_BYTES = len("data: \n")
"""Bytes that an event stream needs for each line of the data, in addition to its text."""

# The lookup in the enum takes longer than the check.
_ID, _TYPE = RejectionReason.ID, RejectionReason.TYPE

# JSON's escapes can write a lone surrogate, UTF-8 cannot.
_SURROGATE = re.compile("[\ud800-\udfff]")
# A line end in a field would inject another field (CWE-93).
_CONTROL = re.compile("[\x00-\x1f\x7f-\x9f\ud800-\udfff]")


def one_line(value: Any, reason: StrEnum) -> str | None:
    """Check a string without control characters. Returns None for null and for an empty string.

    Raises NotUnderstood with the given reason.
    """
    if value is None or value == "":
        return None
    # isprintable() is fast, and true for almost every text. For some harmless characters it is false.
    if not isinstance(value, str) or not (value.isprintable() or not has_control(value)):
        raise NotUnderstood(reason)
    return value


def event_type(value: Any) -> str | None:
    """Check a type, as ``one_line`` does. Blanks around it are dropped, as in the filter ``types`` of a stream."""
    found = one_line(value, _TYPE)
    return found.strip(" ") or None if found else None


def event_id(value: Any) -> str:
    """Check an id, a string or an integer. It is required: without it, copies of the event could not be recognised."""
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    found = one_line(value, _ID)
    if found is None:
        raise NotUnderstood(_ID)
    return found


def data_text(value: Any) -> str:
    """Return a string unchanged, an empty string for null, and compact JSON for anything else."""
    try:
        found = as_text(value)
    except TypeError:  # orjson reads 1024 levels and writes 254, and writes integers of at most 64 bits
        raise NotUnderstood(ConsumerReason.DATA) from None
    if "\0" in found:
        raise NotUnderstood(ConsumerReason.NUL)
    if has_surrogate(found):
        raise NotUnderstood(ConsumerReason.ENCODING)
    return found


def exceeds(text: str, max_bytes: int) -> bool:
    """Whether the encoded ``data:`` lines have more bytes than the limit."""
    # For most texts the length is enough: no character needs more bytes than a line end, which starts a new line.
    return (len(text) + 1) * LINE_BYTES > max_bytes and encoded_size(text) > max_bytes


def encoded_size(text: str) -> int:
    """Return the number of bytes in the ``data:`` lines of a text.

    Only CRLF, LF and CR end a line (WHATWG HTML §9.2.5).
    """
    ends = text.count("\n") + text.count("\r")
    lines = ends - text.count("\r\n") + 1
    characters = len(text) if text.isascii() else len(text.encode())
    return characters - ends + lines * LINE_BYTES


def has_control(text: str) -> bool:
    """Whether the text contains a control character or a lone surrogate."""
    return _CONTROL.search(text) is not None


def has_surrogate(text: str) -> bool:
    """Whether the text contains a lone surrogate."""
    return not text.isascii() and _SURROGATE.search(text) is not None
