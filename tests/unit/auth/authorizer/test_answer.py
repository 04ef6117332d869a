"""What counts as an answer of an authorizer, and what it is told of a request."""

from __future__ import annotations

import math
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sse_service.auth.authorizer.answer import MAX_EXPIRES_IN, AuthorizerFailure, principal_of
from sse_service.auth.authorizer.credentials import Credentials, check_page, credentials_of
from sse_service.model.errors import Forbidden, InvalidToken
from sse_service.model.principal import Principal
from tests.unit.auth.authorizer.parts import ANSWER, request

# The answer


def test_an_answer_is_a_user_with_groups_and_an_expiry() -> None:
    principal = principal_of({**ANSWER, "name": "Ann"}, issued=1000.5, credential=b"c")
    assert principal == Principal("42", ("ops",), 1900, 1000.5, b"c", renewable=True)


@pytest.mark.parametrize(
    ("given_names", "user", "groups"),
    [
        ({"user": 42}, "42", ("ops",)),
        ({"user": "Ann B"}, "Ann B", ("ops",)),
        ({"groups": [7, "7", "a"]}, "42", ("7", "a")),
        ({"groups": ("a",)}, "42", ("a",)),
        ({"groups": []}, "42", ()),
        ({"groups": None}, "42", ()),
        ({"user": "u" * 1024}, "u" * 1024, ("ops",)),
    ],
)
def test_users_and_groups_are_strings_or_integers(
    given_names: dict[str, Any], user: str, groups: tuple[str, ...]
) -> None:
    principal = principal_of(ANSWER | given_names, issued=1000, credential=b"")
    assert (principal.user, principal.groups) == (user, groups)


@pytest.mark.parametrize(
    ("said", "answer"),
    [
        *(("no JSON object", answer) for answer in (None, [], [ANSWER], "42", 42, True)),
        ("named no user", {**ANSWER, "user": None}),
        ("named no user", {"expires_in": 900}),
        *(
            ("named a user that", {**ANSWER, "user": user})
            for user in (True, False, 1.5, [], {}, ["42"], "", " ", "42 ", "\t42", "\ud83d", "u" * 1025, "é" * 513)
        ),
        *(
            ("gave groups that", {**ANSWER, "groups": groups})
            for groups in ("ops", "", 7, 0, True, False, {}, {"a": 1}, [None], [True], ["a", 1.5], [""], ["a "])
        ),
        ("gave groups that", {**ANSWER, "groups": ["g" * 1025]}),
        *(
            ("gave no expires_in", {**ANSWER, "expires_in": seconds})
            for seconds in (None, True, "900", [900], 0, -1, math.nan, math.inf, MAX_EXPIRES_IN + 1, 1_900_000_000)
        ),
    ],
)
def test_an_answer_that_names_nobody_for_sure_is_a_failure(said: str, answer: object) -> None:
    with pytest.raises(AuthorizerFailure) as caught:
        principal_of(answer, issued=1000, credential=b"")
    assert said in caught.value.reason


def test_more_than_a_hundred_groups_are_forbidden() -> None:
    groups = [str(number) for number in range(101)]
    with pytest.raises(Forbidden, match="100 groups"):
        principal_of({**ANSWER, "groups": groups}, issued=1000, credential=b"")
    assert len(principal_of({**ANSWER, "groups": groups[1:]}, issued=1000, credential=b"").groups) == 100


@given(st.recursive(st.none() | st.booleans() | st.integers() | st.floats() | st.text(), lambda each: st.lists(each)))
def test_no_value_of_a_field_makes_another_exception(value: Any) -> None:
    for field in ANSWER:
        with suppress(AuthorizerFailure, Forbidden):
            principal_of({**ANSWER, field: value}, issued=1000, credential=b"")


# The credentials


@given(st.tuples(st.text(), st.text()), st.tuples(st.text(), st.text()))
def test_two_pairs_of_headers_have_one_digest_only_if_they_are_equal(
    one: tuple[str, str], other: tuple[str, str]
) -> None:
    assert (Credentials(*one).digest == Credentials(*other).digest) == (one == other)


@pytest.mark.parametrize("others", [("ab", ""), ("", "ab"), ("b", "a"), ("a\0b", ""), ("a|b", "")])
def test_a_header_that_ends_elsewhere_is_another_credential(others: tuple[str, str]) -> None:
    assert Credentials(*others).digest != Credentials("a", "b").digest
    assert len(Credentials("a", "b").digest) == 16


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        ([("cookie", "a=1; b=2")], Credentials("a=1; b=2", "")),
        ([("cookie", "a=1"), ("cookie", "b=2")], Credentials("a=1; b=2", "")),
        ([("authorization", "Basic dTpw")], Credentials("", "Basic dTpw")),
        ([("cookie", "a=1"), ("authorization", "x")], Credentials("a=1", "x")),
        ([("cookie", "a=\x01; b=2")], Credentials("b=2", "")),
        ([("cookie", "a=caf\xe9")], None),
        ([("cookie", ""), ("authorization", "")], None),
        ([("x-key", "1")], None),
    ],
)
def test_the_credentials_are_the_two_headers(headers: list[tuple[str, str]], expected: Credentials | None) -> None:
    assert credentials_of(request(*headers)) == expected


@pytest.mark.parametrize("headers", [[("authorization", "a"), ("authorization", "")], [("authorization", "caf\xe9")]])
def test_an_authorization_header_that_cannot_be_passed_on_is_refused(headers: list[tuple[str, str]]) -> None:
    with pytest.raises(InvalidToken):
        credentials_of(request(*headers))


def test_a_handshake_needs_an_origin_only_if_a_browser_may_have_made_it() -> None:
    check_page(request(("authorization", "x"), kind="websocket"), allowed=())
    check_page(request(("cookie", "x"), ("origin", "https://push.example.com"), kind="websocket"), allowed=())
    for headers in ([("cookie", "x")], [("authorization", "x"), ("origin", "https://evil.example")]):
        with pytest.raises(Forbidden):
            check_page(request(*headers, kind="websocket"), allowed=())
