"""Reads the statements of an IAM policy, and evaluates them for messages that SNS sends for one topic."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any

ONLY_THIS_TOPIC = 'Condition {"ArnEquals": {"aws:SourceArn": (SSE_TOPIC_ARN)}}'
"""The condition that a statement should have, as text for advice."""

_SNS = re.compile(r"sns(\.[a-z0-9-]+)?\.amazonaws\.com(\.cn)?")


def matches_pattern(pattern: str, text: str) -> bool:
    """Whether an IAM pattern, with ``*`` and ``?``, matches a text."""
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
    """Whether a request without the key meets the condition too."""

    def met(self, topic_arn: str) -> bool | None:
        """Whether a message that SNS sends for the topic meets the condition; None if that cannot be known."""
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
        """Whether the key's value must match one of the condition's values."""
        return self.operator in _OPERATORS


@dataclass(frozen=True, slots=True)
class Statement:
    """One statement about the requested action and resource."""

    allows: bool
    """Whether the effect is Allow, not Deny."""
    anyone: bool
    """Whether the principal is everybody."""
    sns: bool
    """Whether the principal is the SNS service, or everybody."""
    others: tuple[str, ...]
    """The other principals."""
    conditions: tuple[Condition, ...]

    def unmet(self, topic_arn: str) -> set[str]:
        """Return the keys of conditions that a message of the topic does not meet."""
        return {each.key for each in self.conditions if each.met(topic_arn) is False}

    def applies_to(self, topic_arn: str) -> bool:
        """Whether the statement applies to messages of the topic. Conditions that cannot be evaluated count as met."""
        return not self.unmet(topic_arn)

    def restrictions(self, key: str) -> list[tuple[str, ...]]:
        """Return, for each condition that restricts the key, the values of which one must match."""
        return [
            each.values
            for each in self.conditions
            # SNS always sends the key. A direct call of SQS has no such key, and meets an optional condition.
            if each.key == key and each.restricts and not (each.optional and (self.anyone or self.others))
        ]

    def has_condition_on(self, key: str) -> bool:
        """Whether any condition is about the key."""
        return any(each.key == key for each in self.conditions)


def read_statements(policy: str, *, action: str, resource: str | None = None) -> list[Statement]:
    """Return the statements of a policy about an action, and about a resource if one is given.

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
    """Return whether the statement is about everybody, whether it is about SNS, and its other principals."""
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
    """Return the condition keys of a message that SNS sends for the topic."""
    return {
        "aws:sourcearn": topic_arn,
        "aws:sourceaccount": topic_arn.split(":")[4],
        "aws:principalisawsservice": "true",
        "aws:securetransport": "true",
    }
