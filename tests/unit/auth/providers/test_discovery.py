"""How an issuer's keys are found, and when a discovery document is not believed."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from aiohttp import web

from sse_service.auth.outbound.fetch import FetchError
from sse_service.auth.providers.discovery import FetchedKeys, FetchRecord, discovery_url, fetch_keys, keys_url_of
from tests.unit.auth.outbound.http_server import http_server
from tests.unit.auth.providers.signing_keys import ISSUER, SigningKey

KEY = SigningKey("1")


def found(keys_url: Any, *, issuer: str = ISSUER, named: Any = None) -> str:
    return keys_url_of({"issuer": issuer if named is None else named, "jwks_uri": keys_url}, issuer=issuer)


@pytest.mark.parametrize(
    ("issuer", "url"),
    [
        (ISSUER, f"{ISSUER}/.well-known/openid-configuration"),
        (f"{ISSUER}/", f"{ISSUER}/.well-known/openid-configuration"),
        (f"{ISSUER}/realms/a", f"{ISSUER}/realms/a/.well-known/openid-configuration"),
        (f"{ISSUER}/t/v2.0", f"{ISSUER}/t/v2.0/.well-known/openid-configuration"),
    ],
)
def test_the_document_is_below_the_issuer(issuer: str, url: str) -> None:
    assert discovery_url(issuer) == url


@pytest.mark.parametrize("url", [f"{ISSUER}/keys", "https://www.googleapis.com/oauth2/v3/certs"])
def test_keys_may_be_on_another_host(url: str) -> None:
    assert found(url) == url


@pytest.mark.parametrize("named", ["https://evil.example", ISSUER.upper(), f"{ISSUER}/x", "", 7, [ISSUER], "absent"])
def test_a_document_of_another_issuer_is_refused(named: Any) -> None:
    with pytest.raises(ValueError, match="names another issuer"):
        found(f"{ISSUER}/keys", named=named)


def test_a_difference_in_the_last_slash_is_named() -> None:
    with pytest.raises(ValueError, match="ends with a slash: correct SSE_OIDC_ISSUERS"):
        found("https://a.example/keys", named=f"{ISSUER}/")
    with pytest.raises(ValueError, match="does not end with a slash"):
        found("https://a.example/keys", issuer=f"{ISSUER}/", named=ISSUER)


@pytest.mark.parametrize(
    ("url", "said"),
    [
        (None, "no jwks_uri"),
        (7, "no jwks_uri"),
        ("http://login.example.com/keys", "https"),
        ("http://169.254.169.254/latest/meta-data/", "https"),
        ("file:///etc/passwd", "https"),
        ("", "https"),
        ("https://[", "not a URL"),
        ("http://127.0.0.1:8001/metrics", "this machine"),
        ("https://localhost/keys", "this machine"),
        ("https://[::1]/keys", "this machine"),
    ],
)
def test_keys_at_an_unsafe_url_are_refused(url: Any, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        found(url)


def test_an_issuer_on_this_machine_may_have_its_keys_there() -> None:
    assert found("http://localhost:8081/keys", issuer="http://127.0.0.1:8080")


class Documents:
    """A server of JSON documents, by path."""

    def __init__(self) -> None:
        self.by_path: dict[str, Any] = {}
        self.asked: list[str] = []

    async def __call__(self, request: web.Request) -> web.StreamResponse:
        self.asked.append(request.path)
        document = self.by_path.get(request.path)
        return web.Response(status=404) if document is None else web.json_response(document)

    def fetch(
        self,
        *,
        keys_path: str | None = None,
        jwks_uri: str = "{url}/keys",
        record: FetchRecord | None = None,
    ) -> FetchedKeys:
        async def body() -> FetchedKeys:
            async with http_server(self) as url:
                document = {"issuer": url, "jwks_uri": jwks_uri.format(url=url)}
                self.by_path.setdefault("/.well-known/openid-configuration", document)
                keys_url = None if keys_path is None else url + keys_path
                return await fetch_keys(issuer=url, keys_url=keys_url, algorithms=["RS256"], record=record)

        return asyncio.run(body())


def test_keys_are_fetched_by_discovery() -> None:
    documents = Documents()
    documents.by_path["/keys"] = {"keys": [KEY.jwk]}
    assert documents.fetch().keys.kids == {"1"}
    assert documents.asked == ["/.well-known/openid-configuration", "/keys"]


def test_keys_are_fetched_from_the_url_that_the_operator_names_without_discovery() -> None:
    documents = Documents()
    documents.by_path["/jwks.json"] = {"keys": [KEY.jwk]}
    assert documents.fetch(keys_path="/jwks.json").keys.kids == {"1"}
    assert documents.asked == ["/jwks.json"]


def test_keys_of_another_issuers_document_are_not_asked_for() -> None:
    documents = Documents()
    documents.by_path["/.well-known/openid-configuration"] = {"issuer": "https://evil.example", "jwks_uri": "/keys"}
    with pytest.raises(FetchError, match=r"127\.0\.0\.1: its discovery document names another issuer"):
        documents.fetch()
    assert documents.asked == ["/.well-known/openid-configuration"]


def test_a_record_tells_what_was_asked_for_last_without_its_query() -> None:
    documents, record = Documents(), FetchRecord()
    documents.by_path["/keys"] = {"keys": [KEY.jwk]}
    documents.fetch(keys_path="/keys?key=secret", record=record)
    assert record.of_keys
    assert record.url.endswith("/keys")
    assert record.dated is not None
    assert record.dated.date.endswith("GMT")
    documents.by_path["/.well-known/openid-configuration"] = {}
    with pytest.raises(FetchError):
        documents.fetch(record=record)
    assert not record.of_keys
    assert record.url.endswith("/.well-known/openid-configuration")


def test_keys_at_a_metadata_address_are_not_asked_for() -> None:
    with pytest.raises(FetchError, match=r"169\.254\.169\.254: its address is link-local"):
        Documents().fetch(jwks_uri="https://169.254.169.254/latest/meta-data/")


@pytest.mark.parametrize(
    ("keys", "said"),
    [([KEY.jwk] * 10_000, "more than 100 keys"), ([], "no key that can be used"), (None, "not a JWK set")],
)
def test_a_set_that_cannot_be_used_is_an_error_that_names_the_host(keys: Any, said: str) -> None:
    documents = Documents()
    documents.by_path["/keys"] = {"keys": keys}
    with pytest.raises(FetchError, match=f"127.0.0.1: .*({said}|1,000,000)"):
        documents.fetch()
