"""A running service whose users come from identity providers."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import jwt
import pytest

from tests.integration.chain import SECRET, Chain, Stream, queue_stub, service, wait_until_ready
from tests.integration.key_server import DISCOVERY, KeyServer, key_server
from tests.integration.process import DEADLINE
from tests.integration.test_http import problem
from tests.unit.auth.providers.signing_keys import SigningKey

RSA, EC, NEW = SigningKey("rsa"), SigningKey("ec", algorithm="ES256"), SigningKey("new", number=1)
OTHER = SigningKey("rsa", number=2)
STREAM = {"Accept": "text/event-stream"}


def bearer(issuer: KeyServer, key: SigningKey = RSA, **claims: Any) -> dict[str, str]:
    return {"Authorization": f"Bearer {key.sign(**{'iss': issuer.url, **claims})}"}


def opened(chain: Chain, headers: dict[str, str]) -> str:
    """Open a stream, and return the data of its first event with the type."""
    with chain.client.stream("GET", f"{chain.url}/events", headers={**STREAM, **headers}) as response:
        if response.status_code != 200:
            return f"{response.status_code}"
        stream = Stream(response)
        try:
            until = time.monotonic() + DEADLINE
            while not stream.messages:
                assert time.monotonic() < until
            return f"{stream.messages[0].type} {stream.messages[0].data}"
        finally:
            stream.close()


READY = 'stream.ready {"resumed":false,"user":"42"}'
LATER = 'stream.close {"reason":"limit","reconnect":true}'
REFUSED = 'sse_requests_refused_total{reason="identity"}'


@pytest.fixture(scope="module")
def issuer() -> Iterator[KeyServer]:
    with key_server(RSA, EC) as running:
        yield running


@pytest.fixture(scope="module")
def other() -> Iterator[KeyServer]:
    """A provider without discovery, whose key has the same kid as one of ``issuer``."""
    with key_server() as running:
        running.documents.clear()
        running.publish(OTHER, path="/jwks.json")
        yield running


@pytest.fixture(scope="module")
def chain(issuer: KeyServer, other: KeyServer) -> Iterator[Chain]:
    with (
        queue_stub() as queue,
        service(
            queue,
            oidc_issuers=issuer.url,
            jwks_url=f"{other.url}/jwks.json",
            jwt_issuer=other.url,
            jwt_audience="push,spa",
            groups_claim="realm_access.roles",
        ) as running,
    ):
        yield running


@pytest.mark.parametrize("key", [RSA, EC], ids=lambda key: key.algorithm)
def test_a_token_of_a_provider_opens_a_stream(chain: Chain, issuer: KeyServer, key: SigningKey) -> None:
    assert opened(chain, bearer(issuer, key)) == READY


def test_keys_were_fetched_once_by_discovery_and_once_at_a_url(
    chain: Chain, issuer: KeyServer, other: KeyServer
) -> None:
    assert issuer.asked == [DISCOVERY, "/keys"]
    assert other.asked == ["/jwks.json"]


def test_each_provider_is_a_dependency_by_name(chain: Chain, issuer: KeyServer, other: KeyServer) -> None:
    dependencies = chain.get("/readyz").json()["dependencies"]
    assert dependencies == dict.fromkeys(("consumer", "broker", f"issuer {issuer.url}", f"issuer {other.url}"), "ok")


def test_a_provider_does_not_sign_for_another_under_the_same_kid(
    chain: Chain, issuer: KeyServer, other: KeyServer
) -> None:
    assert opened(chain, bearer(other, OTHER)) == READY
    assert opened(chain, bearer(issuer, OTHER)) == "401"
    assert opened(chain, bearer(other, RSA)) == "401"


def test_events_for_a_group_in_a_nested_claim_arrive(chain: Chain, issuer: KeyServer) -> None:
    headers = bearer(issuer, realm_access={"roles": ["ops"]})
    with chain.client.stream("GET", f"{chain.url}/events", headers=headers) as response:
        stream = Stream(response)
        stream.wait_for("stream.ready")
        chain.put("deployed", group="ops")
        stream.wait_for("deployed")
        stream.close()


def test_the_page_exchanges_an_access_token_for_a_cookie(chain: Chain, issuer: KeyServer) -> None:
    response = chain.client.post(f"{chain.url}/session", headers=bearer(issuer, aud=None, client_id="spa"))
    assert response.status_code == 204
    cookie = response.headers["set-cookie"].partition(";")[0]
    assert opened(chain, {"Cookie": cookie, "Sec-Fetch-Site": "same-origin"}) == READY


def test_hs256_stands_beside_providers(chain: Chain, other: KeyServer) -> None:
    claims = {"iss": other.url, "aud": "push", "sub": "42", "exp": int(time.time()) + 60}
    token = jwt.encode(claims, SECRET, "HS256")
    assert opened(chain, {"Authorization": f"Bearer {token}"}) == READY


def test_a_signed_token_for_another_application_is_told_so(chain: Chain, issuer: KeyServer) -> None:
    response = chain.get("/events", headers=bearer(issuer, aud="other"))
    assert response.status_code == 401
    assert "SSE_JWT_AUDIENCE" in problem(response)


def test_unknown_keys_are_not_a_401_and_cause_one_fetch_at_most(chain: Chain, issuer: KeyServer) -> None:
    asked, refused = len(issuer.asked), chain.metric(REFUSED)
    answers = [opened(chain, bearer(issuer, SigningKey(str(number)))) for number in range(20)]
    # One of them is a 401 if the last fetch was 30 s ago: it was asked for, and is still unknown.
    assert answers.count(LATER) >= 19
    assert chain.metric(REFUSED) - refused == answers.count(LATER)
    assert len(issuer.asked) <= asked + 2


def test_a_provider_that_is_away_at_the_start_is_named_and_people_get_in_once_it_is_back(queue: str) -> None:
    with key_server(RSA) as issuer:
        issuer.away = True
        settings = {"oidc_issuers": issuer.url, "jwt_audience": "push", "jwt_secret": ""}
        with service(queue, ready=False, **settings) as chain:
            chain.process.wait_for("the keys could not be fetched")
            wait_for_status(chain, "/healthz", 200)
            ready = chain.get("/readyz")
            assert ready.status_code == 503
            assert ready.json()["dependencies"] == {
                **dict.fromkeys(("consumer", "broker"), "ok"),
                f"issuer {issuer.url}": "unavailable: it answered 503",
            }
            assert opened(chain, bearer(issuer)) == LATER
            response = chain.client.post(f"{chain.url}/session", headers=bearer(issuer))
            assert response.status_code == 503
            assert "set-cookie" not in response.headers
            issuer.away = False
            wait_until_ready(chain)
            assert opened(chain, bearer(issuer)) == READY
            # A provider that goes away later is not needed for the keys that are known.
            issuer.away = True
            assert opened(chain, bearer(issuer)) == READY
            assert chain.process.output.count("the keys could not be fetched") == 1
            assert "eyJ" not in chain.process.output


def wait_for_status(chain: Chain, path: str, status: int) -> None:
    until = time.monotonic() + DEADLINE
    while chain.get(path).status_code != status:
        assert time.monotonic() < until, chain.process.output
