"""A request's user is found by one token, and a cookie only counts for pages that may use it."""

from __future__ import annotations

import pytest
from starlette.requests import Request

from sse_service.auth.requests import RequestAuth
from sse_service.auth.tokens import Tokens
from sse_service.model.errors import Forbidden, InvalidToken

TOKENS = Tokens(secrets=["s" * 32])
AUTH = RequestAuth(tokens=TOKENS, cookie_name="sse_session", allowed_origins=["https://app.example.com"])
TOKEN = TOKENS.sign("42")
OWN = ("host", "push.example.com")


def request(*headers: tuple[str, str], method: str = "GET", scheme: str = "https") -> Request:
    raw = [(name.encode(), value.encode("latin-1")) for name, value in (OWN, *headers)]
    return Request(
        {"type": "http", "method": method, "scheme": scheme, "path": "/events", "query_string": b"", "headers": raw}
    )


def cookie(*headers: tuple[str, str], method: str = "GET") -> Request:
    return request(("cookie", f"a=b; sse_session={TOKEN}"), *headers, method=method)


def test_a_bearer_header_names_the_user() -> None:
    assert AUTH.principal(request(("authorization", f"bearer {TOKEN}"))).user == "42"


def test_a_cookie_names_the_user() -> None:
    assert AUTH.principal(cookie()).user == "42"


@pytest.mark.parametrize(
    "headers",
    [
        [],
        [("authorization", "Basic dTpw")],
        [("authorization", "Bearer ")],
        [("authorization", f"Bearer {TOKEN}x")],
        [("authorization", f"Bearer {TOKEN}"), ("authorization", f"Bearer {TOKEN}")],
        [("authorization", f"Bearer {TOKEN}"), ("cookie", f"sse_session={TOKEN}")],
        [("cookie", f"sse_session={TOKEN}; sse_session={TOKEN}")],
        [("cookie", "sse_session=")],
        [("cookie", "other=x")],
    ],
)
def test_no_token_a_broken_one_and_two_are_refused(headers: list[tuple[str, str]]) -> None:
    with pytest.raises(InvalidToken):
        AUTH.principal(request(*headers))


@pytest.mark.parametrize(
    "headers",
    [
        [("sec-fetch-site", "same-origin")],
        [("sec-fetch-site", "none")],
        [("origin", "https://app.example.com"), ("sec-fetch-site", "same-site")],
        [("origin", "https://app.example.com"), ("sec-fetch-site", "cross-site")],
        [("origin", "https://push.example.com")],
    ],
)
def test_a_cookie_counts_for_its_own_and_for_allowed_origins(headers: list[tuple[str, str]]) -> None:
    assert AUTH.principal(cookie(*headers)).user == "42"


@pytest.mark.parametrize(
    "headers",
    [
        [("sec-fetch-site", "same-site")],
        [("sec-fetch-site", "cross-site")],
        [("origin", "null")],
        [("origin", "https://app.example.com.evil")],
        [("origin", "https://evil-app.example.com")],
        [("origin", "http://app.example.com")],
        [("origin", "http://push.example.com")],
        [("origin", "https://app.example.com:444")],
        [("origin", "null"), ("sec-fetch-site", "none")],
        [("origin", ""), ("sec-fetch-site", "cross-site")],
    ],
)
def test_a_cookie_that_a_foreign_page_made_the_browser_send_is_forbidden(headers: list[tuple[str, str]]) -> None:
    with pytest.raises(Forbidden):
        AUTH.principal(cookie(*headers))


def test_a_bearer_header_counts_from_everywhere_for_no_browser_adds_it_by_itself() -> None:
    headers = [("authorization", f"Bearer {TOKEN}"), ("origin", "https://other.example")]
    assert AUTH.principal(request(*headers)).user == "42"


def test_a_change_by_cookie_needs_an_origin_that_may() -> None:
    with pytest.raises(Forbidden):
        AUTH.check_origin(cookie(method="DELETE"))
    AUTH.check_origin(cookie(("sec-fetch-site", "same-origin"), method="DELETE"))


def test_a_session_is_made_from_the_header_alone() -> None:
    token, principal = AUTH.bearer(request(("authorization", f"Bearer {TOKEN}"), ("cookie", "sse_session=old")))
    assert (token, principal.user) == (TOKEN, "42")
    with pytest.raises(InvalidToken):
        AUTH.bearer(cookie())
