"""The user of a request comes from its header or its cookie. A cookie counts only for pages that may use it."""

from __future__ import annotations

import asyncio

import pytest
from starlette.requests import HTTPConnection

from sse_service.auth.authenticator import AuthenticatorChain
from sse_service.auth.bearer import BearerAuthenticator
from sse_service.auth.cookie import CookieAuthenticator
from sse_service.auth.tokens.hs256 import HS256Verifier
from sse_service.auth.tokens.signing import TokenSigner
from sse_service.model.errors import Forbidden, InvalidToken, MissingToken
from sse_service.model.principal import Principal
from sse_service.model.revocations import RevocationTable

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


def by_chain(connection: HTTPConnection) -> Principal:
    return asyncio.run(AuthenticatorChain(BEARER, COOKIE, revocations=RevocationTable()).authenticate(connection))


def by_bearer(connection: HTTPConnection) -> Principal | None:
    return asyncio.run(BEARER.authenticate(connection))


def by_cookie(connection: HTTPConnection) -> Principal | None:
    return asyncio.run(COOKIE.authenticate(connection))


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
def test_with_a_bad_bearer_header_the_cookie_is_not_tried(headers: list[tuple[str, str]]) -> None:
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


def test_a_good_header_wins_over_any_cookie() -> None:
    for cookie in (f"sse_session={OTHER}", "sse_session=x", f"sse_session={TOKEN}; sse_session={OTHER}"):
        others = [("origin", "https://evil.example"), ("cookie", cookie)]
        assert by_chain(request(("authorization", f"Bearer {TOKEN}"), *others)).user == "42"


@pytest.mark.parametrize("count", [1, 2])
def test_different_cookies_are_refused_with_advice(count: int) -> None:
    pairs = [f"sse_session={TOKEN}", f"sse_session={OTHER}"]
    fields = pairs if count == 2 else ["; ".join(pairs)]
    with pytest.raises(InvalidToken, match="DELETE /session"):
        by_cookie(request(*(("cookie", field) for field in fields)))


def test_equal_cookies_count_as_one() -> None:
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
def test_a_cookie_is_accepted_for_its_own_and_for_allowed_origins(headers: list[tuple[str, str]]) -> None:
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
def test_a_cookie_is_forbidden_for_pages_of_other_origins(headers: list[tuple[str, str]]) -> None:
    with pytest.raises(Forbidden):
        by_chain(with_cookie(*headers))


def test_a_bearer_header_is_accepted_from_any_origin() -> None:
    headers = [("authorization", f"Bearer {TOKEN}"), ("origin", "https://other.example")]
    assert by_chain(request(*headers)).user == "42"


@pytest.mark.parametrize("method", ["POST", "DELETE"])
def test_post_and_delete_by_cookie_need_an_allowed_origin(method: str) -> None:
    with pytest.raises(Forbidden):
        by_chain(with_cookie(method=method))
    assert by_chain(with_cookie(("sec-fetch-site", "same-origin"), method=method)).user == "42"


def test_a_websocket_by_cookie_needs_an_allowed_origin() -> None:
    def websocket(*headers: tuple[bytes, bytes]) -> HTTPConnection:
        cookie = (b"cookie", f"sse_session={TOKEN}".encode())
        return HTTPConnection({"type": "websocket", "scheme": "wss", "path": "/", "headers": [cookie, *headers]})

    with pytest.raises(Forbidden):
        by_chain(websocket())
    assert by_chain(websocket((b"origin", b"https://app.example.com"))).user == "42"


def test_a_websocket_of_the_services_own_page_may_use_the_cookie() -> None:
    headers = [
        (b"cookie", f"sse_session={TOKEN}".encode()),
        (b"host", b"push.example.com"),
        (b"origin", b"https://push.example.com"),
    ]
    own = HTTPConnection({"type": "websocket", "scheme": "wss", "path": "/", "headers": headers})
    assert by_chain(own).user == "42"
