"""A request's user is found by its header or its cookie, and a cookie counts only for pages that may use it."""

from __future__ import annotations

import asyncio

import pytest
from starlette.requests import HTTPConnection

from sse_service.auth.authenticator import AuthenticatorChain
from sse_service.auth.bearer import BearerAuthenticator
from sse_service.auth.cookie import CookieAuthenticator
from sse_service.auth.signing import TokenSigner
from sse_service.auth.tokens import HS256Verifier
from sse_service.model.errors import Forbidden, InvalidToken, MissingToken
from sse_service.model.principal import Principal

SECRET = "s" * 32
TOKEN = TokenSigner(secret=SECRET).sign("42")
OTHER = TokenSigner(secret=SECRET).sign("7")
VERIFIER = HS256Verifier(secrets=[SECRET])
BEARER = BearerAuthenticator(VERIFIER)
COOKIE = CookieAuthenticator(VERIFIER, name="sse_session", allowed_origins=["https://app.example.com"])


def request(*headers: tuple[str, str], method: str = "GET", scheme: str = "https") -> HTTPConnection:
    all_headers = (("host", "push.example.com"), *headers)
    raw = [(name.encode(), value.encode("latin-1")) for name, value in all_headers]
    return HTTPConnection({"type": "http", "method": method, "scheme": scheme, "path": "/events", "headers": raw})


def with_cookie(*headers: tuple[str, str], method: str = "GET") -> HTTPConnection:
    return request(("cookie", f"a=b; sse_session={TOKEN}"), *headers, method=method)


def by_chain(found: HTTPConnection) -> Principal:
    return asyncio.run(AuthenticatorChain(BEARER, COOKIE).authenticate(found))


def by_bearer(found: HTTPConnection) -> Principal | None:
    return asyncio.run(BEARER.authenticate(found))


def by_cookie(found: HTTPConnection) -> Principal | None:
    return asyncio.run(COOKIE.authenticate(found))


@pytest.mark.parametrize("field", [f"Bearer {TOKEN}", f"bearer {TOKEN}", f"BEARER   {TOKEN} "])
def test_a_bearer_header_names_the_user(field: str) -> None:
    assert by_chain(request(("authorization", field))).user == "42"


@pytest.mark.parametrize(
    "headers",
    [
        [("authorization", "Bearer")],
        [("authorization", "Bearer ")],
        [("authorization", f"Bearer {TOKEN}x")],
        [("authorization", f"Bearer {TOKEN}")] * 2,
        [("authorization", f"Bearer {TOKEN}"), ("authorization", "Basic dTpw")],
    ],
)
def test_a_bad_header_decides_and_the_cookie_is_not_tried(headers: list[tuple[str, str]]) -> None:
    with pytest.raises(InvalidToken) as caught:
        by_chain(with_cookie(*headers))
    assert not isinstance(caught.value, MissingToken)


@pytest.mark.parametrize("headers", [[], [("authorization", "Basic dTpw")], [("authorization", "")]])
def test_without_a_bearer_header_the_cookie_decides(headers: list[tuple[str, str]]) -> None:
    assert by_bearer(request(*headers)) is None
    assert by_chain(with_cookie(*headers)).user == "42"


@pytest.mark.parametrize(
    "headers",
    [[], [("cookie", "")], [("cookie", "other=x")], [("cookie", "sse_session=")], [("cookie", f"Sse_session={TOKEN}")]],
)
def test_a_request_without_a_credential_is_told_what_to_send(headers: list[tuple[str, str]]) -> None:
    assert by_cookie(request(*headers)) is None
    with pytest.raises(MissingToken, match="POST /session"):
        by_chain(request(*headers))


def test_a_good_header_wins_over_a_cookie_however_bad() -> None:
    for cookie in (f"sse_session={OTHER}", "sse_session=x", f"sse_session={TOKEN}; sse_session={OTHER}"):
        foreign = [("origin", "https://evil.example"), ("cookie", cookie)]
        assert by_chain(request(("authorization", f"Bearer {TOKEN}"), *foreign)).user == "42"


@pytest.mark.parametrize("count", [1, 2])
def test_different_cookies_are_refused_with_the_way_out(count: int) -> None:
    pairs = [f"sse_session={TOKEN}", f"sse_session={OTHER}"]
    fields = pairs if count == 2 else ["; ".join(pairs)]
    with pytest.raises(InvalidToken, match="DELETE /session"):
        by_cookie(request(*(("cookie", field) for field in fields)))


def test_equal_cookies_are_one() -> None:
    assert by_chain(request(("cookie", f"sse_session={TOKEN}; sse_session={TOKEN}"))).user == "42"


@pytest.mark.parametrize(
    "headers",
    [
        [],
        [("sec-fetch-site", "same-origin")],
        [("sec-fetch-site", "none")],
        [("origin", "https://app.example.com"), ("sec-fetch-site", "same-site")],
        [("origin", "https://app.example.com"), ("sec-fetch-site", "cross-site")],
        [("origin", "https://push.example.com")],
    ],
)
def test_a_cookie_counts_for_its_own_and_for_allowed_origins(headers: list[tuple[str, str]]) -> None:
    assert by_chain(with_cookie(*headers)).user == "42"


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
        by_chain(with_cookie(*headers))


def test_a_bearer_header_counts_from_everywhere_for_no_browser_adds_it_by_itself() -> None:
    headers = [("authorization", f"Bearer {TOKEN}"), ("origin", "https://other.example")]
    assert by_chain(request(*headers)).user == "42"


@pytest.mark.parametrize("method", ["POST", "DELETE"])
def test_a_change_by_cookie_needs_an_origin_that_may(method: str) -> None:
    with pytest.raises(Forbidden):
        by_chain(with_cookie(method=method))
    assert by_chain(with_cookie(("sec-fetch-site", "same-origin"), method=method)).user == "42"


def test_a_connection_without_a_method_needs_an_origin_that_may() -> None:
    def websocket(*headers: tuple[bytes, bytes]) -> HTTPConnection:
        cookie = (b"cookie", f"sse_session={TOKEN}".encode())
        return HTTPConnection({"type": "websocket", "scheme": "wss", "path": "/", "headers": [cookie, *headers]})

    with pytest.raises(Forbidden):
        by_chain(websocket())
    assert by_chain(websocket((b"origin", b"https://app.example.com"))).user == "42"
