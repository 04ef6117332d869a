"""A load balancer that signs users in, and attacks on its header, against a running service."""

from __future__ import annotations

import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import httpx
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from tests.integration.chain import Chain, Stream, environment, queue_stub, serve, sns_envelope, wait_until_ready
from tests.integration.load_balancer import ARN, KID, NAME, KeysEndpoint, LoadBalancer, keys_endpoint, pem
from tests.integration.test_http import problem

EVENT_SOURCE = {"Accept": "text/event-stream"}
BALANCER = LoadBalancer()


@pytest.fixture(scope="module")
def queue() -> Iterator[str]:
    with queue_stub() as url:
        yield url


@contextmanager
def signed_in_service(queue: str, endpoint: KeysEndpoint, **settings: str) -> Iterator[Chain]:
    """Run a service whose users the load balancer alone signs in."""
    env = environment(queue, jwt_secret="", alb_arn=ARN, **settings) | endpoint.environment
    with serve(queue, env, program=("tests.integration.alb_service", endpoint.url)) as running:
        wait_until_ready(running)
        yield running


@pytest.fixture(scope="module")
def shared(queue: str) -> Iterator[tuple[Chain, KeysEndpoint]]:
    with keys_endpoint() as endpoint:
        endpoint.keys[KID] = pem(BALANCER.key)
        with signed_in_service(
            queue, endpoint, cors_origins="https://app.example.com", groups_claim="cognito:groups"
        ) as running:
            assert running.get("/events", headers={NAME: BALANCER.header(claims={})}).status_code == 401
            yield running, endpoint


@pytest.fixture
def balanced(shared: tuple[Chain, KeysEndpoint]) -> Iterator[Chain]:
    """A service that has the key already. Fails if it then asks for anything, anywhere."""
    running, endpoint = shared
    before = len(endpoint.asked)
    yield running
    assert endpoint.asked[before:] == []


@pytest.fixture
def alone(queue: str) -> Iterator[tuple[Chain, KeysEndpoint]]:
    """A service that has asked for no key yet, and an endpoint that knows none."""
    with keys_endpoint() as endpoint, signed_in_service(queue, endpoint) as running:
        yield running, endpoint


@contextmanager
def opened(chain: Chain, *tokens: str, **headers: str) -> Iterator[Stream]:
    fields = [(NAME, token) for token in tokens] + [(n.replace("_", "-"), value) for n, value in headers.items()]
    with chain.stream_with(fields) as stream:
        yield stream


def refused(chain: Chain, *tokens: str, **headers: str) -> httpx.Response:
    """Ask for a stream as an EventSource does. Fails if one is opened."""
    fields = [*EVENT_SOURCE.items(), *((NAME, token) for token in tokens), *headers.items()]
    with chain.client.stream("GET", f"{chain.url}/events", headers=fields) as response:
        # A refusal says how long it is. A stream does not, and would never end.
        assert "content-length" in response.headers, "a stream was opened"
        response.read()
    return response


# ---- Signed in


def test_an_event_reaches_a_user_whom_the_load_balancer_has_signed_in(balanced: Chain) -> None:
    header = BALANCER.header(claims={"sub": "42", "cognito:groups": ["ops"], "email": "a@example.com"})
    with opened(balanced, header) as stream:
        assert '"user":"42"' in stream.wait_for("stream.ready").data
        balanced.put(sns_envelope('{"step":1}', user="42"))
        balanced.put('{"step":2}', group="ops")
        stream.wait_for('{"step":1}')
        stream.wait_for('{"step":2}')


def test_the_stream_stays_open_after_its_header_has_expired(balanced: Chain) -> None:
    header = BALANCER.header(ttl_seconds=2)
    with opened(balanced, header) as stream:
        # Until the header has expired, the query is the only thing that is wrong with this request.
        while balanced.get("/events?since=never", headers={NAME: header}).status_code == 400:
            pass
        balanced.put(sns_envelope('{"late":1}', user="42"))
        stream.wait_for('{"late":1}')
        assert "stream.close" not in stream.types


def test_a_revoked_user_is_refused_also_with_a_new_header(alone: tuple[Chain, KeysEndpoint]) -> None:
    chain, endpoint = alone
    endpoint.keys[KID] = pem(BALANCER.key)
    with opened(chain, BALANCER.header()) as stream:
        assert chain.client.post(f"{chain.admin}/revoke", json={"user": "42"}).is_success
        assert "revoked" in stream.wait_for("stream.close").data
    # The header does not say when the user signed in, so a new one is refused too.
    assert refused(chain, BALANCER.header(claims={"sub": "42", "auth_time": int(time.time())})).status_code == 401
    with opened(chain, BALANCER.header(claims={"sub": "7"})):
        pass


def test_an_allowed_page_of_another_origin_uses_the_load_balancers_session(balanced: Chain) -> None:
    with opened(balanced, BALANCER.header(), Origin="https://app.example.com", Sec_Fetch_Site="same-site") as stream:
        assert stream.response.headers["access-control-allow-origin"] == "https://app.example.com"


@pytest.mark.parametrize(
    "headers",
    [{"Origin": "https://evil.example"}, {"Sec-Fetch-Site": "cross-site"}, {"Sec-Fetch-Site": "same-site"}],
)
def test_a_page_of_another_site_may_not_use_it(balanced: Chain, headers: dict[str, str]) -> None:
    assert refused(balanced, BALANCER.header(), **headers).status_code == 403


def test_a_new_key_is_fetched_once_from_the_endpoint_alone(alone: tuple[Chain, KeysEndpoint]) -> None:
    chain, endpoint = alone
    kid = str(uuid.uuid4())
    endpoint.keys[kid] = pem(BALANCER.key)
    for _ in range(3):
        with opened(chain, BALANCER.header(kid=kid)):
            pass
    assert endpoint.asked == [f"/{kid}"]


# ---- Attacks


def test_without_the_setting_the_header_is_ignored(queue: str) -> None:
    with keys_endpoint() as endpoint:
        endpoint.keys[KID] = pem(BALANCER.key)
        env = environment(queue) | endpoint.environment
        with serve(queue, env, program=("tests.integration.alb_service", endpoint.url)) as chain:
            wait_until_ready(chain)
            response = refused(chain, BALANCER.header())
            assert response.status_code == 401
            # The answer to a request without a credential has no error code (RFC 6750 section 3.1).
            assert response.headers["www-authenticate"] == "Bearer"
            with opened(chain, BALANCER.header(claims={"sub": "7"}), **chain.headers("42")) as stream:
                assert '"user":"42"' in stream.wait_for("stream.ready").data
        assert endpoint.asked == []


def test_a_header_that_has_expired_is_refused(balanced: Chain) -> None:
    for past in (1, 3600):
        response = refused(balanced, BALANCER.header(ttl_seconds=-past))
        assert response.status_code == 401
        assert "expired" in problem(response)
        claims = {"sub": "42", "exp": int(time.time()) - past}
        assert refused(balanced, BALANCER.header(claims=claims)).status_code == 401


def test_two_headers_are_refused(balanced: Chain) -> None:
    token = BALANCER.header()
    for second in (token, BALANCER.header(claims={"sub": "7"}), ""):
        assert refused(balanced, token, second).status_code == 401


@pytest.mark.parametrize(
    "fields",
    [
        {"signer": ARN.replace("/push/", "/other/")},
        {"signer": ARN.replace("123456789012", "210987654321")},
        {"signer": None},
        {"alg": "HS256"},
        {"alg": "ES384"},
        {"kid": "../../latest/meta-data"},
        {"kid": "..%2F..%2Fsecret"},
        {"kid": "http://169.254.169.254/latest/meta-data"},
        {"kid": f"@evil.example/{KID}"},
        {"kid": "a" * 10_000},
        {"kid": "x' OR '1'='1"},
        {"kid": 12345678},
        {"kid": [KID]},
        {"kid": None},
        {"jku": "https://evil.example/keys", "signer": None},
        {"crit": ["b64"], "b64": False},
    ],
)
def test_a_header_of_another_form_is_refused_without_a_fetch(balanced: Chain, fields: dict[str, Any]) -> None:
    response = refused(balanced, BALANCER.header(**fields))
    assert response.status_code == 401
    assert not [word for word in ("kid", "signer", "alg", ARN) if word in response.json().get("detail", "")]


def test_the_urls_in_a_header_are_never_used(balanced: Chain) -> None:
    urls = dict.fromkeys(("jku", "x5u", "iss"), "https://evil.example/keys")
    jwk = {"kty": "EC", "crv": "P-256", "x": "A" * 43, "y": "A" * 43}
    attacker = LoadBalancer()
    assert refused(balanced, attacker.header(**urls, jwk=jwk, x5c=["AAAA"])).status_code == 401
    with opened(balanced, BALANCER.header(**urls, jwk=jwk, x5c=["AAAA"])):
        pass


@pytest.mark.parametrize("alg", ["none", "None", "NONE", "nOnE", ""])
def test_an_unsigned_header_is_refused(balanced: Chain, alg: str) -> None:
    assert refused(balanced, BALANCER.unsigned_header(alg)).status_code == 401


def test_hs256_signed_with_the_public_key_is_refused(balanced: Chain) -> None:
    assert refused(balanced, BALANCER.hs256_header()).status_code == 401


def test_another_key_under_the_same_kid_is_refused(balanced: Chain) -> None:
    assert refused(balanced, LoadBalancer().header()).status_code == 401


def test_a_kid_that_aws_does_not_know_is_refused_and_asked_for_once(alone: tuple[Chain, KeysEndpoint]) -> None:
    chain, endpoint = alone
    for _ in range(5):
        assert refused(chain, BALANCER.header()).status_code == 401
    assert endpoint.asked == [f"/{KID}"]


def test_invented_kids_do_not_become_a_flood_of_fetches(alone: tuple[Chain, KeysEndpoint]) -> None:
    chain, endpoint = alone
    began = time.monotonic()
    answers = [refused(chain, BALANCER.header(kid=str(uuid.uuid4()))) for _ in range(200)]
    # An EventSource is told to come back in a 200 with stream.close; the ids that were asked for are 401.
    assert {answer.status_code for answer in answers} == {200, 401}
    assert all("stream.close" in answer.text for answer in answers if answer.status_code == 200)
    assert len(endpoint.asked) <= 10 + (time.monotonic() - began) / 2 + 1


@pytest.mark.parametrize(
    "document",
    [
        pem(ec.generate_private_key(ec.SECP384R1())),
        pem(rsa.generate_private_key(65537, 2048)),
        b"<html><title>Sign in</title></html>",
    ],
)
def test_what_is_no_p256_key_is_not_used_and_readyz_says_so(alone: tuple[Chain, KeysEndpoint], document: bytes) -> None:
    chain, endpoint = alone
    endpoint.keys[KID] = document
    answer = refused(chain, BALANCER.header())
    assert (answer.status_code, "stream.ready" in answer.text, "stream.close" in answer.text) == (200, False, True)
    assert "P-256" in chain.get("/readyz").json()["dependencies"]["load balancer keys"]


def test_an_endpoint_that_fails_is_overload_and_readyz_names_it(alone: tuple[Chain, KeysEndpoint]) -> None:
    chain, endpoint = alone
    assert chain.get("/readyz").json()["dependencies"]["load balancer keys"] == "ok"
    endpoint.status = 500
    assert "stream.close" in refused(chain, BALANCER.header()).text
    answer = chain.get("/readyz")
    assert answer.status_code == 503
    assert "it answered 500" in answer.json()["dependencies"]["load balancer keys"]
    assert chain.get("/healthz").status_code == 200
    endpoint.keys[KID] = pem(BALANCER.key)
    with opened(chain, BALANCER.header()):
        assert chain.get("/readyz").json()["dependencies"]["load balancer keys"] == "ok"


def test_no_header_is_logged(alone: tuple[Chain, KeysEndpoint]) -> None:
    chain, endpoint = alone
    endpoint.keys[KID] = pem(BALANCER.key)
    token, bad = BALANCER.header(), BALANCER.header(kid="../x")
    with opened(chain, token):
        refused(chain, bad)
    assert not [part for text in (token, bad) for part in text.split(".") if part in chain.process.output]
