"""The conditions of a policy's statement, held against a message that SNS sends for a topic."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any


def like(pattern: str, text: str) -> bool:
    """Whether a pattern of IAM, with ``*`` and ``?``, matches."""
    return fnmatchcase(text, pattern.replace("[", "[[]"))


def _same(value: str, text: str) -> bool:
    return value == text


def _alike(value: str, text: str) -> bool:
    return value.lower() == text.lower()


_OPERATORS: dict[str, Callable[[str, str], bool]] = {
    "arnequals": like,
    "arnlike": like,
    "bool": _alike,
    "stringequals": _same,
    "stringequalsignorecase": _alike,
    "stringlike": like,
}


@dataclass(frozen=True, slots=True)
class Condition:
    """One key under one operator."""

    key: str
    """In lower case."""
    operator: str
    """In lower case, without ForAnyValue, ForAllValues and IfExists."""
    values: tuple[str, ...]
    optional: bool
    """A request without the key meets it, too."""

    def met(self, topic_arn: str) -> bool | None:
        """Whether what SNS sends for the topic meets it; None where that cannot be told."""
        actual = _sent(topic_arn).get(self.key)
        if actual is None:
            return None
        if self.operator == "null":
            return any(_alike(each, "false") for each in self.values)
        matches = _OPERATORS.get(self.operator.replace("not", "", 1))
        if matches is None:
            return None
        found = any(matches(each, actual) for each in self.values)
        if not found and any("${" in each for each in self.values):
            return None
        return found is ("not" not in self.operator)

    @property
    def restricts(self) -> bool:
        """Whether only what one of the values matches meets it, where the key is there."""
        return self.operator in _OPERATORS


def read_conditions(value: Any) -> Iterator[Condition]:
    """All that a statement's ``Condition`` demands."""
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


def _sent(topic_arn: str) -> dict[str, str]:
    return {
        "aws:sourcearn": topic_arn,
        "aws:sourceaccount": topic_arn.split(":")[4],
        "aws:principalisawsservice": "true",
        "aws:securetransport": "true",
    }
