"""The statements of a policy, as far as they concern SNS."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any

_SNS = re.compile(r"sns(\.[a-z0-9-]+)?\.amazonaws\.com(\.cn)?")
_SOURCES = frozenset({"arnequals", "arnlike", "stringequals", "stringlike"})


@dataclass(frozen=True, slots=True)
class Statement:
    """One statement that covers the action and the resource that were asked about."""

    allows: bool
    anyone: bool
    """Its principal is everybody."""
    sns: bool
    """Its principal is the service SNS, or everybody."""
    conditions: Mapping[str, Mapping[str, list[str]]]
    """By operator and key, both in lower case; values as they are."""

    def sources(self) -> list[str]:
        """The patterns of ``aws:SourceArn`` to which it is restricted."""
        return [
            value
            for operator, keys in self.conditions.items()
            if operator.removesuffix("ifexists") in _SOURCES
            for value in keys.get("aws:sourcearn", [])
        ]

    def covers(self, source: str) -> bool:
        """Whether it is about what that resource does: it is not restricted to others."""
        sources = self.sources()
        return any(like(each, source) for each in sources) if sources else not self.names("aws:sourcearn")

    def names(self, key: str) -> bool:
        """Whether a condition is about that key."""
        return any(key in keys for keys in self.conditions.values())


def read(policy: str, *, action: str, resource: str | None = None) -> list[Statement]:
    """The statements about an action, on a resource; raises ValueError for what is no policy."""
    document = json.loads(policy)
    if not isinstance(document, dict):
        raise ValueError("no policy")
    return list(_statements(document, action, resource))


def like(pattern: str, text: str) -> bool:
    """Whether a pattern of IAM, with ``*`` and ``?``, matches."""
    return fnmatchcase(text, pattern.replace("[", "[[]"))


def _statements(document: Mapping[str, Any], action: str, resource: str | None) -> Iterator[Statement]:
    for item in _listed(document.get("Statement")):
        if not isinstance(item, dict):
            continue
        actions = [str(each).lower() for each in _listed(item.get("Action"))]
        if not any(like(pattern, action.lower()) for pattern in actions):
            continue
        resources = [str(each) for each in _listed(item.get("Resource", "*"))]
        if resource is not None and not any(like(pattern, resource) for pattern in resources):
            continue
        anyone, services = _principal(item.get("Principal"))
        yield Statement(
            allows=item.get("Effect") == "Allow",
            anyone=anyone,
            sns=anyone or any(_SNS.fullmatch(each) for each in services),
            conditions=_conditions(item.get("Condition")),
        )


def _principal(value: Any) -> tuple[bool, list[str]]:
    if not isinstance(value, dict):
        return value == "*", []
    services = [str(each) for each in _listed(value.get("Service"))]
    return "*" in _listed(value.get("AWS")) or "*" in services, services


def _conditions(value: Any) -> dict[str, dict[str, list[str]]]:
    found: dict[str, dict[str, list[str]]] = {}
    for operator, keys in value.items() if isinstance(value, dict) else ():
        if isinstance(keys, dict):
            found[str(operator).lower()] = {
                str(key).lower(): [str(each) for each in _listed(given)] for key, given in keys.items()
            }
    return found


def _listed(value: Any) -> list[Any]:
    if value is None:
        return []
    return value if isinstance(value, list) else [value]
