"""Operators' own answers to whom a message is for and what is shown, as JMESPath."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any

import jmespath
from jmespath.exceptions import JMESPathError
from jmespath.functions import Functions

from sse_service.model.errors import NotUnderstood

if TYPE_CHECKING:
    from collections.abc import Mapping

    from jmespath.parser import ParsedResult


def compiled(expression: str) -> ParsedResult:
    """Read an expression.

    Raises ValueError, in one line, for one that is no JMESPath or calls a function that JMESPath has not: the library
    itself would say the latter only at the first message, and every message would go to the dead-letter queue.
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
    """One optional expression a field; one that is set alone decides its field, without fallback.

    A fallback that is wanted is JMESPath's own: ``body.job || id``.
    """

    user: str | None = None
    group: str | None = None
    broadcast: str | None = None
    type: str | None = None
    subject: str | None = None
    data: str | None = None
    id: str | None = None


class Evaluator:
    """Overrides, compiled once, that are asked for each message."""

    def __init__(self, overrides: Overrides) -> None:
        """Raises ValueError for an expression that ``compiled`` refuses."""
        expressions = {field.name: getattr(overrides, field.name) for field in fields(overrides)}
        self._compiled = {name: compiled(text) for name, text in expressions.items() if text is not None}

    def __bool__(self) -> bool:
        """Whether any field is overridden."""
        return bool(self._compiled)

    def values(self, view: Mapping[str, Any]) -> dict[str, Any]:
        """What each overridden field's expression finds.

        Raises NotUnderstood where one cannot be evaluated over this message.
        """
        try:
            return {name: expression.search(view) for name, expression in self._compiled.items()}
        except Exception:
            # jmespath lets through what its functions raise: OverflowError, RecursionError and others (CWE-248).
            raise NotUnderstood("override") from None


def _functions(node: Any) -> set[str]:
    """The names of all functions that a parsed expression calls."""
    found = {node["value"]} if node["type"] == "function_expression" else set()
    return found.union(*(_functions(child) for child in node["children"] if isinstance(child, dict)))
