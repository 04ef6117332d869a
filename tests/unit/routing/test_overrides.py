"""Expressions are refused at the start, and no message can make one fail otherwise than by name."""

from typing import Any

import pytest

from consumers.errors import NotUnderstood
from sse_service.routing.overrides import Evaluator, Overrides, compiled


@pytest.mark.parametrize(
    ("expression", "text"),
    [
        ("body[", "must be JMESPath"),
        ("`x", "must be JMESPath"),
        ("split(body, '/')", "not split"),
        ("body.a || [join(',', map(&nope(@), body))]", "not nope"),
    ],
)
def test_what_would_fail_for_every_message_is_refused_in_one_line(expression: str, text: str) -> None:
    with pytest.raises(ValueError, match=text) as caught:
        compiled(expression)
    assert "\n" not in str(caught.value)
    with pytest.raises(ValueError, match=text):
        Evaluator(Overrides(user=expression))


def test_only_what_is_set_is_overridden() -> None:
    assert Evaluator(Overrides(user="body.a")).values({"body": {"a": 7}}) == {"user": 7}
    assert not Evaluator(Overrides())


def deep(levels: int) -> Any:
    value: Any = []
    for _ in range(levels):
        value = [value]
    return value


@pytest.mark.parametrize(
    ("expression", "body"),
    [
        ("length(body)", 7),
        ("ceil(to_number(body))", "inf"),
        ("to_string(body)", deep(50_000)),
    ],
)
def test_whatever_a_function_raises_is_not_understood(expression: str, body: Any) -> None:
    with pytest.raises(NotUnderstood) as caught:
        Evaluator(Overrides(data=expression)).values({"body": body})
    assert caught.value.reason == "override"
