"""An operator's own routing rules, written in JMESPath."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any

import jmespath
from jmespath.exceptions import JMESPathError
from jmespath.functions import Functions

from consumers.errors import NotUnderstood
from sse_service.model.reasons import RejectionReason

if TYPE_CHECKING:
    from collections.abc import Mapping

    from jmespath.parser import ParsedResult


def compiled(expression: str) -> ParsedResult:
    """Parse an expression.

    Raises ValueError, with one line of text, if the expression is not JMESPath or calls an unknown function. JMESPath
    itself reports an unknown function only when it evaluates the expression: every message would become a dead letter.
    """
    try:
        parsed = jmespath.compile(expression)
    except JMESPathError as error:
        raise ValueError(f"must be JMESPath: {str(error).splitlines()[0].rstrip(':')}") from None
    if unknown := _functions(parsed.parsed) - Functions.FUNCTION_TABLE.keys():
        raise ValueError(f"must call only functions that JMESPath has, not {', '.join(sorted(unknown))}")
    return parsed


@dataclass(frozen=True, slots=True, kw_only=True)
class Overrides:
    """One optional expression for each field. A field with an expression has no fallback to the defaults.

    JMESPath can express a fallback itself: ``body.job || id``.
    """

    user: str | None = None
    group: str | None = None
    broadcast: str | None = None
    type: str | None = None
    subject: str | None = None
    data: str | None = None
    id: str | None = None


class Evaluator:
    """Compiles Overrides once and evaluates them for each message."""

    def __init__(self, overrides: Overrides) -> None:
        """Raises ValueError for an expression that ``compiled`` refuses."""
        expressions = {field.name: getattr(overrides, field.name) for field in fields(overrides)}
        self._compiled = {name: compiled(text) for name, text in expressions.items() if text is not None}

    def __bool__(self) -> bool:
        """Whether any field is overridden."""
        return bool(self._compiled)

    def values(self, view: Mapping[str, Any]) -> dict[str, Any]:
        """Evaluate the expression of each overridden field.

        Raises NotUnderstood if one of them fails on this message.
        """
        try:
            return {name: expression.search(view) for name, expression in self._compiled.items()}
        except Exception:
            # JMESPath's functions raise OverflowError, RecursionError and others on some values (CWE-248).
            raise NotUnderstood(RejectionReason.OVERRIDE) from None


def _functions(node: Any) -> set[str]:
    """Return the names of all functions that a parsed expression calls."""
    found = {node["value"]} if node["type"] == "function_expression" else set()
    return found.union(*(_functions(child) for child in node["children"] if isinstance(child, dict)))
