"""The statements of a policy, as far as they concern SNS."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from sse_service.doctor.conditions import Condition, like, read_conditions

_SNS = re.compile(r"sns(\.[a-z0-9-]+)?\.amazonaws\.com(\.cn)?")


@dataclass(frozen=True, slots=True)
class Statement:
    """One statement that covers the action and the resource that were asked about."""

    allows: bool
    anyone: bool
    """Its principal is everybody."""
    sns: bool
    """Its principal is the service SNS, or everybody."""
    others: tuple[str, ...]
    """Its other principals."""
    conditions: tuple[Condition, ...]

    def unmet(self, topic_arn: str) -> set[str]:
        """The keys of the conditions that SNS, sending for that topic, does not meet."""
        return {each.key for each in self.conditions if each.met(topic_arn) is False}

    def covers(self, topic_arn: str) -> bool:
        """Whether it is about what SNS sends for that topic, as far as can be told."""
        return not self.unmet(topic_arn)

    def restrictions(self, key: str) -> list[tuple[str, ...]]:
        """The values to which it is restricted in that key: one of each must match."""
        return [
            each.values
            for each in self.conditions
            # SNS always says for what it sends; who calls SQS directly says nothing.
            if each.key == key and each.restricts and not (each.optional and (self.anyone or self.others))
        ]

    def names(self, key: str) -> bool:
        """Whether a condition is about that key."""
        return any(each.key == key for each in self.conditions)


def read(policy: str, *, action: str, resource: str | None = None) -> list[Statement]:
    """The statements about an action, on a resource; raises ValueError for what is no policy."""
    document = json.loads(policy)
    if not isinstance(document, dict):
        raise ValueError("no policy")
    return list(_statements(document, action, resource))


def _statements(document: Mapping[str, Any], action: str, resource: str | None) -> Iterator[Statement]:
    for item in _listed(document.get("Statement")):
        if not isinstance(item, dict) or not _about(item, "Action", action.lower()):
            continue
        if resource is not None and not _about({"Resource": "*", **item}, "Resource", resource):
            continue
        anyone, sns, others = _principals(item)
        yield Statement(
            allows=item.get("Effect") == "Allow",
            anyone=anyone,
            sns=sns,
            others=others,
            conditions=tuple(read_conditions(item.get("Condition"))),
        )


def _about(item: Mapping[str, Any], name: str, asked: str) -> bool:
    def among(key: str) -> bool:
        listed = [str(each) for each in _listed(item.get(key))]
        return any(like(each.lower() if name == "Action" else each, asked) for each in listed)

    return not among(f"Not{name}") if item.get(f"Not{name}") is not None else among(name)


def _principals(item: Mapping[str, Any]) -> tuple[bool, bool, tuple[str, ...]]:
    """Whether it is about everybody, whether about SNS, and about whom else."""
    excluded = item.get("NotPrincipal")
    value = item.get("Principal") if excluded is None else excluded
    kinds = value if isinstance(value, dict) else {"AWS": value}
    services = {str(each) for each in _listed(kinds.get("Service")) if _SNS.fullmatch(str(each))}
    named = {str(each) for kind in kinds.values() for each in _listed(kind)} - services
    anyone = "*" in named
    if excluded is not None:
        return not anyone and not services, not anyone and not services, ()
    return anyone, anyone or bool(services), () if anyone else tuple(sorted(named))


def _listed(value: Any) -> list[Any]:
    if value is None:
        return []
    return value if isinstance(value, list) else [value]
