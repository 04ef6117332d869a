"""What a token claims is read without trust, and shown so that it cannot control the terminal."""

from __future__ import annotations

import base64
import json

import pytest

from sse_service.whoami.claimed import MAX_CHARACTERS, MAX_SHOWN, pasted, read, shown


def b64(value: object) -> str:
    text = value if isinstance(value, str) else json.dumps(value)
    return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")


def jws(header: object, claims: object) -> str:
    return f"{b64(header)}.{b64(claims)}.c2ln"


@pytest.mark.parametrize("text", ["a.b.c", " a.b.c\n", "Bearer a.b.c", "bearer  a.b.c \r\n", "\tBEARER a.b.c"])
def test_what_is_pasted_with_a_token_is_dropped(text: str) -> None:
    assert pasted(text) == "a.b.c"


@pytest.mark.parametrize(
    "before", ["Authorization: Bearer ", "authorization:bearer ", "sse_session=", "Cookie: my-id="]
)
def test_the_name_of_the_header_or_of_the_cookie_is_dropped(before: str) -> None:
    token = jws({"alg": "RS256"}, {"sub": "42"})
    assert pasted(before + token) == token


def test_a_signed_token_is_read() -> None:
    found = read(jws({"alg": "RS256", "kid": "k"}, {"sub": "42"}))
    assert (found.header, found.claims, found.problem) == ({"alg": "RS256", "kid": "k"}, {"sub": "42"}, "")


@pytest.mark.parametrize("around", ['"{}"', "'{}'", "`{}`", '"Bearer {}"'])
def test_quotes_are_named_and_the_token_is_read(around: str) -> None:
    found = read(around.format(jws({"alg": "RS256"}, {"sub": "42"})))
    assert "quotes or white space" in found.problem
    assert found.claims == {"sub": "42"}


def test_a_line_break_inside_is_named() -> None:
    token = jws({"alg": "RS256"}, {"sub": "42"})
    assert "white space" in read(f"{token[:20]}\n{token[20:]}").problem


@pytest.mark.parametrize(
    ("token", "problem", "opaque"),
    [
        ("v2.local", "2 parts", False),
        ("9f86d081884c7d659a2feaa0c55ad015", "no JWT", True),
        ("", "no JWT", True),
        (f"{b64({'alg': 'dir', 'enc': 'A256GCM'})}..iv.text.tag", "(JWE)", True),
        ("a.b.c", "header is not JSON", False),
        (f"{b64({'alg': 'RS256'})}.b.c", "payload is not JSON", False),
        (jws({"alg": "RS256"}, [1]), "payload is not JSON", False),
        (jws({"alg": "RS256"}, "[" * 10_000), "payload is not JSON", False),
        (jws({"alg": "RS256"}, '{"exp":' + "9" * 5000 + "}"), "payload is not JSON", False),
        ("é.ü.ö", "header is not JSON", False),
        ("\udcff.\udcff.x", "header is not JSON", False),
        ("x" * (MAX_CHARACTERS + 1), "more than", False),
    ],
)
def test_each_text_that_is_no_signed_token_has_its_reason(token: str, problem: str, opaque: bool) -> None:
    found = read(token)
    assert problem in found.problem
    assert found.opaque is opaque
    assert found.claims == {}


def test_an_empty_payload_is_a_payload() -> None:
    assert read(jws({"alg": "RS256"}, {})).problem == ""


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("plain", "plain"),
        ("Zoë", "Zoë"),
        (None, "none"),
        ("", "(empty)"),
        (7, "7"),
        (["a", 1, None], "a, 1, none"),
        ([], "an empty list"),
        ([["x"], {}], "(a list), (an object)"),
        ({"a": 1}, "(an object)"),
        ("\x1b]0;owned\x07", "\\x1b]0;owned\\x07"),
        ("a\nrefused: no\r", "a\\nrefused: no\\r"),
        ("\u202e\u2028\x9b\ud800", "\\u202e\\u2028\\x9b\\ud800"),
        (["\x1b[2J"], "\\x1b[2J"),
    ],
)
def test_a_shown_value_has_no_control_characters(value: object, expected: str) -> None:
    assert shown(value) == expected


def test_a_shown_value_is_bounded() -> None:
    assert shown("x" * 10_000) == "x" * MAX_SHOWN + "…"
    assert len(shown(["x" * 100] * 10_000)) == MAX_SHOWN + 1
