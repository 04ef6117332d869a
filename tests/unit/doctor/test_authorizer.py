"""The answer of one's own back end to a request without credentials."""

from __future__ import annotations

import pytest

from sse_service.auth.authorizer.answer import AuthorizerFailure
from sse_service.doctor.authorizer import AuthorizerAnswer, check_answer
from sse_service.doctor.report import Level

URL = "http://backend.internal/who"


@pytest.mark.parametrize(
    ("answer", "level", "word"),
    [
        (AuthorizerAnswer(status=401), Level.OK, "answers 401"),
        (AuthorizerAnswer(status=403), Level.WARN, "let it answer 401"),
        (AuthorizerAnswer(status=200, user="42"), Level.FAIL, "lets everybody in: it names the user 42"),
        (AuthorizerAnswer(failure=AuthorizerFailure("answered 502", "look at its log")), Level.FAIL, "look at its log"),
    ],
)
def test_each_answer_has_its_level_and_advice(answer: AuthorizerAnswer, level: Level, word: str) -> None:
    found = check_answer(URL, answer)
    assert found.level is level
    assert word in found.line
    assert URL in found.text


def test_the_query_is_not_shown_because_it_may_contain_a_key() -> None:
    assert "a-key" not in check_answer(f"{URL}?key=a-key", AuthorizerAnswer(status=401)).line
