"""The statements of an IAM policy, evaluated for what SNS sends on behalf of one topic."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any

ONLY_THIS_TOPIC = 'Condition {"ArnEquals": {"aws:SourceArn": (SSE_TOPIC_ARN)}}'
"""The condition that a statement should have, to show in advice."""

_SNS = re.compile(r"sns(\.[a-z0-9-]+)?\.amazonaws\.com(\.cn)?")


def matches_pattern(pattern: str, text: str) -> bool:
    """Whether a pattern of IAM, with ``*`` and ``?``, matches."""
    return fnmatchcase(text, pattern.replace("[", "[[]"))


def _equal(value: str, text: str) -> bool:
    return value == text


def _equal_ignoring_case(value: str, text: str) -> bool:
    return value.lower() == text.lower()


_OPERATORS: dict[str, Callable[[str, str], bool]] = {
    "arnequals": matches_pattern,
    "arnlike": matches_pattern,
    "bool": _equal_ignoring_case,
    "stringequals": _equal,
    "stringequalsignorecase": _equal_ignoring_case,
    "stringlike": matches_pattern,
}


@dataclass(frozen=True, slots=True)
class Condition:
    """One key of a statement's ``Condition``, under one operator."""

    key: str
    """In lower case."""
    operator: str
    """In lower case, without ForAnyValue, ForAllValues and IfExists."""
    values: tuple[str, ...]
    optional: bool
    """A request without the key meets it as well."""

    def met(self, topic_arn: str) -> bool | None:
        """Whether a message that SNS sends for the topic meets it; None if that cannot be known."""
        actual = _context(topic_arn).get(self.key)
        if actual is None:
            return None
        if self.operator == "null":
            return any(_equal_ignoring_case(each, "false") for each in self.values)
        matches = _OPERATORS.get(self.operator.replace("not", "", 1))
        if matches is None:
            return None
        found = any(matches(each, actual) for each in self.values)
        if not found and any("${" in each for each in self.values):
            return None
        return found is ("not" not in self.operator)

    @property
    def restricts(self) -> bool:
        """Whether a request that has the key meets it only with one of the values."""
        return self.operator in _OPERATORS


@dataclass(frozen=True, slots=True)
class Statement:
    """One statement about the action and the resource that were asked for."""

    allows: bool
    """Its effect is Allow, not Deny."""
    anyone: bool
    """Its principal is everybody."""
    sns: bool
    """Its principal is the SNS service, or everybody."""
    others: tuple[str, ...]
    """Its other principals."""
    conditions: tuple[Condition, ...]

    def unmet(self, topic_arn: str) -> set[str]:
        """The keys of the conditions that a message of SNS for the topic does not meet."""
        return {each.key for each in self.conditions if each.met(topic_arn) is False}

    def applies_to(self, topic_arn: str) -> bool:
        """Whether it applies to messages that SNS sends for the topic. Conditions that cannot be known count as met."""
        return not self.unmet(topic_arn)

    def restrictions(self, key: str) -> list[tuple[str, ...]]:
        """For each condition that restricts the key: the values of which one must match."""
        return [
            each.values
            for each in self.conditions
            # SNS always sends the key; a direct call of SQS has none and meets an optional condition.
            if each.key == key and each.restricts and not (each.optional and (self.anyone or self.others))
        ]

    def has_condition_on(self, key: str) -> bool:
        """Whether any condition is about the key."""
        return any(each.key == key for each in self.conditions)


def read_statements(policy: str, *, action: str, resource: str | None = None) -> list[Statement]:
    """The statements of a policy about an action, and about a resource if one is given.

    Raises ValueError if the text is no policy.
    """
    document = json.loads(policy)
    if not isinstance(document, dict):
        raise ValueError("not a policy")
    return list(_statements(document, action, resource))


def _statements(document: Mapping[str, Any], action: str, resource: str | None) -> Iterator[Statement]:
    for item in _as_list(document.get("Statement")):
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
            conditions=tuple(_conditions(item.get("Condition"))),
        )


def _about(item: Mapping[str, Any], name: str, asked: str) -> bool:
    def among(key: str) -> bool:
        listed = [str(each) for each in _as_list(item.get(key))]
        return any(matches_pattern(each.lower() if name == "Action" else each, asked) for each in listed)

    return not among(f"Not{name}") if item.get(f"Not{name}") is not None else among(name)


def _principals(item: Mapping[str, Any]) -> tuple[bool, bool, tuple[str, ...]]:
    """Whether the statement is about everybody, whether about SNS, and about which others."""
    excluded = item.get("NotPrincipal")
    value = item.get("Principal") if excluded is None else excluded
    kinds = value if isinstance(value, dict) else {"AWS": value}
    services = {str(each) for each in _as_list(kinds.get("Service")) if _SNS.fullmatch(str(each))}
    named = {str(each) for kind in kinds.values() for each in _as_list(kind)} - services
    anyone = "*" in named
    if excluded is not None:
        return not anyone and not services, not anyone and not services, ()
    return anyone, anyone or bool(services), () if anyone else tuple(sorted(named))


def _as_list(value: Any) -> list[Any]:
    if value is None:
        return []
    return value if isinstance(value, list) else [value]


def _conditions(value: Any) -> Iterator[Condition]:
    for given, keys in value.items() if isinstance(value, dict) else ():
        quantifier, _, operator = str(given).lower().rpartition(":")
        base = operator.removesuffix("ifexists")
        for key, values in keys.items() if isinstance(keys, dict) else ():
            listed = values if isinstance(values, list) else [values]
            yield Condition(
                key=str(key).lower(),
                operator=base,
                values=tuple(str(each) for each in listed),
                optional=base != operator or quantifier == "forallvalues",
            )


def _context(topic_arn: str) -> dict[str, str]:
    """The condition keys of a message that SNS sends for the topic."""
    return {
        "aws:sourcearn": topic_arn,
        "aws:sourceaccount": topic_arn.split(":")[4],
        "aws:principalisawsservice": "true",
        "aws:securetransport": "true",
    }
