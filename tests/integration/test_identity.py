"""Authentication and the session cookie over HTTP."""

from __future__ import annotations

import re
import time
import uuid
from collections.abc import Iterator
from typing import Any

import httpx
import jwt
import pytest

from tests.integration.chain import SECRET, Chain, queue_stub, service
from tests.integration.test_http import problem

OWN = {"Sec-Fetch-Site": "same-origin"}


def token(**claims: Any) -> str:
    return jwt.encode({"sub": "42", "exp": int(time.time()) + 600, **claims}, SECRET, algorithm="HS256")


def bearer(**claims: Any) -> dict[str, str]:
    return {"Authorization": f"Bearer {token(**claims)}"}


def opened(chain: Chain, *headers: tuple[str, str]) -> int:
    """Request a stream with these headers, and return the status."""
    with chain.client.stream("GET", f"{chain.url}/events", headers=list(headers)) as response:
        return response.status_code


class CookieStore:
    """A browser's session cookies, one for each domain (RFC 6265 section 5.3), as it sends them to a host."""

    def __init__(self, host: str) -> None:
        self._host = host
        self._kept: dict[str, str] = {}

    def take(self, response: httpx.Response) -> None:
        for field in response.headers.get_list("set-cookie"):
            pair, *attributes = [part.strip() for part in field.split(";")]
            named = dict(attribute.lower().partition("=")[::2] for attribute in attributes)
            domain = named.get("domain", "").lstrip(".")
            if domain and not f".{self._host}".endswith(f".{domain}"):
                continue
            if named["max-age"] == "0":
                self._kept.pop(domain, None)
            else:
                self._kept[domain] = pair
        assert len(response.headers.get_list("set-cookie")) <= 12

    def headers(self) -> dict[str, str]:
        return {"Host": self._host, "Cookie": "; ".join(self._kept.values()), **OWN}

    def __len__(self) -> int:
        return len(self._kept)


# Claims


def test_a_token_whose_nbf_is_seconds_ahead_is_accepted(chain: Chain) -> None:
    with chain.client.stream("GET", f"{chain.url}/events", headers=bearer(nbf=time.time() + 5)) as response:
        assert response.status_code == 200


@pytest.mark.parametrize(
    ("claims", "said"),
    [
        ({"exp": int(time.time()) - 1}, "exp claim"),
        ({"exp": int(time.time() * 1000)}, "milliseconds"),
        ({"exp": "soon"}, "exp claim"),
        ({"nbf": time.time() + 86_400}, "nbf claim"),
        ({"nbf": "soon"}, "nbf claim"),
        ({"aud": "other"}, "SSE_JWT_AUDIENCE"),
        ({"sub": True}, "sub claim"),
        ({"groups": "ops"}, "groups claim"),
        ({"groups": [7.5]}, "groups claim"),
    ],
)
def test_the_refusal_of_a_signed_token_names_the_invalid_claim(chain: Chain, claims: dict[str, Any], said: str) -> None:
    response = chain.get("/events", headers=bearer(**claims))
    assert response.status_code == 401
    assert response.headers["www-authenticate"] == 'Bearer error="invalid_token"'
    assert said in problem(response)


def test_without_a_valid_signature_the_refusal_says_nothing_about_the_claims(chain: Chain) -> None:
    def refused(text: str) -> str:
        response = chain.get("/events", headers={"Authorization": f"Bearer {text}"})
        assert response.status_code == 401
        return problem(response)

    forged = [jwt.encode(claims, "x" * 32, algorithm="HS256") for claims in ({"exp": 1}, {"groups": "ops"}, {})]
    assert len({refused(text) for text in ("x", "a.b.c", *forged)}) == 1


def test_groups_may_be_integers(chain: Chain) -> None:
    with chain.client.stream("GET", f"{chain.url}/events", headers=bearer(groups=[7])) as response:
        assert response.status_code == 200


# Header and cookie


def test_a_bearer_header_wins_over_the_cookie_that_a_browser_adds_by_itself(chain: Chain) -> None:
    for cookie in (token(sub="other"), "expired"):
        with chain.client.stream(
            "GET", f"{chain.url}/events", headers={**bearer(), "Cookie": f"sse_session={cookie}"}
        ) as response:
            assert response.status_code == 200
            assert '"user":"42"' in next(text for text in response.iter_text() if "stream.ready" in text)


def test_a_bad_bearer_header_is_401_and_the_cookie_is_not_tried(chain: Chain) -> None:
    assert opened(chain, ("Authorization", "Bearer x"), ("Cookie", f"sse_session={token()}")) == 401


def test_two_authorization_headers_are_401(chain: Chain) -> None:
    authorization = bearer()["Authorization"]
    assert opened(chain, ("Authorization", authorization), ("Authorization", authorization)) == 401
    assert opened(chain, ("Authorization", authorization), ("Authorization", "Basic dTpw")) == 401


def test_beside_a_basic_authorization_header_the_cookie_decides(chain: Chain) -> None:
    assert opened(chain, ("Authorization", "Basic dTpw"), ("Cookie", f"sse_session={token()}")) == 200
    assert opened(chain, ("Authorization", "Basic dTpw")) == 401


def test_a_cookie_that_is_sent_twice_counts_once(chain: Chain) -> None:
    text = token()
    assert opened(chain, ("Cookie", f"sse_session={text}; sse_session={text}")) == 200


def test_two_different_cookies_are_401_and_the_text_says_what_to_do(chain: Chain) -> None:
    response = chain.get("/events", headers={"Cookie": f"sse_session={token()}; sse_session={token(sub='7')}"})
    assert response.status_code == 401
    assert "DELETE /session" in problem(response)


# The session


def test_a_session_cookie_too_large_for_browsers_is_refused_with_the_reason(chain: Chain) -> None:
    groups = [str(uuid.uuid4()) for _ in range(100)]
    response = chain.client.post(f"{chain.url}/session", headers=bearer(groups=groups))
    assert response.status_code == 400
    assert "set-cookie" not in response.headers
    assert re.search(r"5\d\d\d bytes.* 4096.*groups", problem(response))
    assert opened(chain, *bearer(groups=groups).items()) == 200


def test_the_longest_cookie_that_is_set_has_at_most_4096_bytes(chain: Chain) -> None:
    def made(length: int) -> httpx.Response:
        return chain.client.post(f"{chain.url}/session", headers=bearer(sub="u" * length))

    bytes_of = [len(made(length).headers.get("set-cookie", "")) for length in range(2870, 2950)]
    assert 4094 <= max(bytes_of) <= 4096
    assert bytes_of[-1] == 0


def test_a_session_is_made_from_the_header_alone(chain: Chain) -> None:
    response = chain.client.post(f"{chain.url}/session", headers={"Cookie": f"sse_session={token()}", **OWN})
    assert response.status_code == 401
    assert response.headers["www-authenticate"] == "Bearer"


def test_a_client_without_an_origin_may_end_a_session(chain: Chain) -> None:
    response = chain.client.delete(f"{chain.url}/session", headers={"Cookie": f"sse_session={token()}"})
    assert response.status_code == 204
    assert "Max-Age=0" in response.headers["set-cookie"]


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "https://evil.example"},
        {"Origin": "null"},
        {"Sec-Fetch-Site": "same-site"},
        {"Sec-Fetch-Site": "cross-site"},
    ],
)
def test_a_page_of_another_origin_may_not_end_a_session(chain: Chain, headers: dict[str, str]) -> None:
    response = chain.client.delete(f"{chain.url}/session", headers=headers)
    assert response.status_code == 403
    assert "set-cookie" not in response.headers
    assert "SSE_CORS_ORIGINS" in problem(response)


@pytest.fixture(scope="module", params=["", "example.com", ".push.example.com"])
def moved(request: pytest.FixtureRequest) -> Iterator[Chain]:
    """A service for which SSE_COOKIE_DOMAIN was changed."""
    with queue_stub() as url, service(url, cookie_domain=request.param) as running:
        yield running


@pytest.fixture
def browser(chain: Chain, moved: Chain) -> CookieStore:
    """A browser with session cookies of the host and of two domains."""
    store = CookieStore("push.example.com")
    for domain in ("", "; Domain=example.com", "; Domain=push.example.com"):
        old = token(sub=domain or "host")
        store.take(httpx.Response(204, headers={"set-cookie": f"sse_session={old}; Max-Age=600{domain}"}))
    assert len(store) == 3
    assert moved.get("/events", headers=store.headers()).status_code == 401
    return store


def test_ending_a_session_removes_the_cookies_of_all_domains(moved: Chain, browser: CookieStore) -> None:
    browser.take(moved.client.delete(f"{moved.url}/session", headers=browser.headers()))
    assert len(browser) == 0


def test_making_a_session_leaves_exactly_one_cookie_that_works(moved: Chain, browser: CookieStore) -> None:
    browser.take(moved.client.post(f"{moved.url}/session", headers={**browser.headers(), **bearer()}))
    assert len(browser) == 1
    assert opened(moved, *browser.headers().items()) == 200


def made_by(moved: Chain, host: str) -> httpx.Response:
    """Make a session with a request to this host."""
    return moved.client.post(f"{moved.url}/session", headers={**bearer(), "Host": host})


@pytest.mark.parametrize("moved", ["example.com"], indirect=True)
@pytest.mark.parametrize(
    "host",
    [
        *("push.other.org", "com", "notexample.com", "example.com.evil.org", "localhost:8000", "127.0.0.1", "[::1]:80"),
        *("push.example.com.", "", "a b.example.com", f"{'a.' * 150}example.com"),
    ],
)
def test_a_session_for_a_host_outside_the_cookies_domain_is_refused(moved: Chain, host: str) -> None:
    response = made_by(moved, host)
    assert response.status_code == 400
    assert "set-cookie" not in response.headers
    assert "SSE_COOKIE_DOMAIN" in problem(response)
    assert "example.com" in problem(response)


@pytest.mark.parametrize("moved", ["example.com", ".Example.com"], indirect=True)
@pytest.mark.parametrize("host", ["example.com", "push.example.com", "a.b.example.com:8443", "PUSH.Example.COM:443"])
def test_a_session_for_a_host_inside_the_cookies_domain_is_made(moved: Chain, host: str) -> None:
    response = made_by(moved, host)
    assert response.status_code == 204
    assert "Domain=example.com" in response.headers["set-cookie"]


@pytest.mark.parametrize("moved", ["0.0.1"], indirect=True)
def test_a_part_of_an_ip_address_is_no_domain(moved: Chain) -> None:
    assert made_by(moved, "127.0.0.1").status_code == 400


def test_a_first_session_sets_one_cookie_and_expires_none(chain: Chain) -> None:
    response = chain.client.post(f"{chain.url}/session", headers={**bearer(), "Host": "push.example.com"})
    assert len(response.headers.get_list("set-cookie")) == 1


@pytest.mark.parametrize("host", ["192.0.2.1", "127.0.0.1:8000", "[::1]:8000", "localhost", "a b.c", "x;y.example"])
def test_for_a_host_without_parent_domains_one_cookie_is_expired(chain: Chain, host: str) -> None:
    response = chain.client.delete(f"{chain.url}/session", headers={"Host": host})
    (field,) = response.headers.get_list("set-cookie")
    assert "Domain" not in field


def test_a_host_with_many_labels_gets_a_short_response(chain: Chain) -> None:
    response = chain.client.delete(f"{chain.url}/session", headers={"Host": "a." * 1000 + "example.com"})
    fields = response.headers.get_list("set-cookie")
    assert len(fields) < 12
    assert sum(map(len, fields)) < 2000


# Other origins


def test_a_preflight_may_ask_for_the_headers_of_tracing_libraries(chain: Chain) -> None:
    names = "authorization,baggage,cache-control,last-event-id,sentry-trace,traceparent,tracestate,x-requested-with"
    response = chain.client.options(
        f"{chain.url}/events",
        headers={
            "Origin": "https://app.example.com",
            "Access-Control-Request-Method": "GET",
            "Access-Control-Request-Headers": names,
        },
    )
    assert response.status_code == 200
    allowed = response.headers["access-control-allow-headers"].lower().split(", ")
    assert set(names.split(",")) <= set(allowed)


def test_a_page_inside_an_app_may_open_streams() -> None:
    origins = ["capacitor://localhost", "chrome-extension://abcdefghijklmnopabcdefghijklmnop"]
    with queue_stub() as url, service(url, cors_origins=",".join(origins)) as running:
        for origin in origins:
            with running.client.stream(
                "GET", f"{running.url}/events", headers={"Origin": origin, "Cookie": f"sse_session={token()}"}
            ) as response:
                assert response.status_code == 200
                assert response.headers["access-control-allow-origin"] == origin
