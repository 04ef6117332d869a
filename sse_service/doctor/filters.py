"""Which messages a subscription's filter policy lets through."""

from __future__ import annotations

from collections.abc import Mapping
from fnmatch import fnmatchcase
from typing import Any


def stopped_by(policy: Mapping[str, Any], fields: Mapping[str, Any]) -> list[str]:
    """The keys of the policy that keep a message out; none where it passes.

    ``fields`` are its String attributes or, by the policy's scope, its body. What is not known here keeps out.
    """
    return [key for key, conditions in policy.items() if not _passes(key, conditions, fields)]


def _passes(key: str, conditions: Any, fields: Mapping[str, Any]) -> bool:
    if key == "$or":
        return any(not stopped_by(each, fields) for each in conditions)
    value = fields.get(key)
    if isinstance(conditions, Mapping):
        return not stopped_by(conditions, value if isinstance(value, Mapping) else {})
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
    return _is_like(value, condition)


def _is_anything_but(value: str, what: Any) -> bool:
    if isinstance(what, Mapping):
        return not any(_is_like(value, {how: each}) for how, given in what.items() for each in _listed(given))
    return value not in _listed(what)


def _is_like(value: str, condition: Mapping[str, Any]) -> bool:
    how, what = next(iter(condition.items()), ("", ""))
    if not isinstance(what, str):
        return False
    if how == "prefix":
        return value.startswith(what)
    if how == "suffix":
        return value.endswith(what)
    if how == "equals-ignore-case":
        return value.lower() == what.lower()
    if how == "wildcard":
        return fnmatchcase(value, what.replace("[", "[[]").replace("?", "[?]"))
    return False


def _listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]
