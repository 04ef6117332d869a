"""Evaluates a subscription's filter policy for one message."""

from __future__ import annotations

from collections.abc import Mapping
from fnmatch import fnmatchcase
from typing import Any


def keys_that_drop(policy: Mapping[str, Any], fields: Mapping[str, Any]) -> list[str]:
    """Return the keys of the policy that drop a message; an empty list if the message passes.

    ``fields`` are the message's String attributes, or its body if that is the policy's scope. A condition that is not
    implemented here drops the message.
    """
    return [key for key, conditions in policy.items() if not _passes(key, conditions, fields)]


def _passes(key: str, conditions: Any, fields: Mapping[str, Any]) -> bool:
    if key == "$or":
        return any(not keys_that_drop(each, fields) for each in conditions)
    value = fields.get(key)
    if isinstance(conditions, Mapping):
        return not keys_that_drop(conditions, value if isinstance(value, Mapping) else {})
    return any(_matches(value, condition) for condition in conditions)


def _matches(value: Any, condition: Any) -> bool:
    if not isinstance(condition, Mapping):
        return value is not None and value == condition
    if "exists" in condition:
        return (value is not None) is bool(condition["exists"])
    if not isinstance(value, str):
        return False
    if "anything-but" in condition:
        return _is_anything_but(value, condition["anything-but"])
    return _has_form(value, condition)


def _is_anything_but(value: str, excluded: Any) -> bool:
    if isinstance(excluded, Mapping):
        return not any(_has_form(value, {form: each}) for form, given in excluded.items() for each in _as_list(given))
    return value not in _as_list(excluded)


def _has_form(value: str, condition: Mapping[str, Any]) -> bool:
    form, text = next(iter(condition.items()), ("", ""))
    if not isinstance(text, str):
        return False
    if form == "prefix":
        return value.startswith(text)
    if form == "suffix":
        return value.endswith(text)
    if form == "equals-ignore-case":
        return value.lower() == text.lower()
    if form == "wildcard":
        return fnmatchcase(value, text.replace("[", "[[]").replace("?", "[?]"))
    return False


def _as_list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]
