"""Reads what messages and overrides give as names, words, ids and data; refuses other types."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from consumers.envelope import as_text
from sse_service.model.errors import NotUnderstood

if TYPE_CHECKING:
    from collections.abc import Iterable

# No UTF-8 has surrogates, but JSON's escapes can: such a text could not be written.
_SURROGATE = re.compile("[\ud800-\udfff]")
# A line end in a field would inject another field (CWE-93).
_CONTROL = re.compile("[\x00-\x1f\x7f-\x9f\ud800-\udfff]")


def is_empty(value: Any) -> bool:
    """Whether a value names nobody, whatever its type may be."""
    if value is None or value == "":
        return True
    return isinstance(value, list) and all(item is None or item == "" for item in value)


def names(values: Iterable[Any]) -> list[str]:
    """Of each value: a string, an integer, or a list of these; null and empty name nobody."""
    found = []
    for value in values:
        for item in value if isinstance(value, list) else (value,):
            if item is None or item == "":
                continue
            if isinstance(item, str):
                if _has_surrogate(item):
                    raise NotUnderstood("encoding")
                found.append(item)
            elif isinstance(item, int) and not isinstance(item, bool):
                found.append(str(item))
            else:
                raise NotUnderstood("names")
    return found


def truth(value: Any) -> bool:
    """True for true and ``"true"``; false for other words, false and null."""
    if value is not None and not isinstance(value, bool | str):
        raise NotUnderstood("broadcast")
    return value in (True, "true")


def word(value: Any, field: str) -> str | None:
    """A string without control characters; null and empty are none."""
    if value is None or value == "":
        return None
    # Printable is quickly said, and neither a control character nor a surrogate is; some other characters are not.
    if not isinstance(value, str) or not (value.isprintable() or _CONTROL.search(value) is None):
        raise NotUnderstood(field)
    return value


def identifier(value: Any) -> str:
    """A string or an integer; none is refused, as copies of the event would not be recognised."""
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    found = word(value, "id")
    if found is None:
        raise NotUnderstood("id")
    return found


def data(value: Any) -> str:
    """A string as it is, null as empty, else compact JSON."""
    try:
        found = as_text(value)
    except TypeError:  # orjson reads 1024 levels and writes 254, and integers of at most 64 bits
        raise NotUnderstood("data") from None
    if "\0" in found:
        raise NotUnderstood("nul")
    if _has_surrogate(found):
        raise NotUnderstood("encoding")
    return found


def _has_surrogate(text: str) -> bool:
    return not text.isascii() and _SURROGATE.search(text) is not None
