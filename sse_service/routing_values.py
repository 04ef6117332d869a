"""Reads what messages and overrides give as names, words, ids and data; refuses other types."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from consumers.envelope import as_text
from sse_service.errors import NotUnderstood

if TYPE_CHECKING:
    from collections.abc import Iterable

# No UTF-8 has surrogates, but JSON's escapes can: such a text could not be written.
_SURROGATE = re.compile("[\ud800-\udfff]")
# A line end in a field would inject another field (CWE-93).
_CONTROL = re.compile("[\x00-\x1f\x7f-\x9f\ud800-\udfff]")


def is_empty(value: Any) -> bool:
    """Whether a value names nobody, whatever its type may be."""
    if isinstance(value, list):
        return all(item is None or item == "" for item in value)
    return value is None or value == ""


def names(values: Iterable[Any]) -> list[str]:
    """Of each value: a string, an integer, or a list of these; null and empty name nobody."""
    found = []
    for item in (item for value in values for item in (value if isinstance(value, list) else [value])):
        if item is None or item == "":
            continue
        if isinstance(item, bool) or not isinstance(item, str | int):
            raise NotUnderstood("names")
        if isinstance(item, str) and _SURROGATE.search(item):
            raise NotUnderstood("encoding")
        found.append(str(item))
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
    if not isinstance(value, str) or _CONTROL.search(value):
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
    if _SURROGATE.search(found):
        raise NotUnderstood("encoding")
    return found
