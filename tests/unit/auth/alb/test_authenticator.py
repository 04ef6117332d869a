"""The load balancer's header names the user. Nothing is fetched for a header that it cannot have written."""

from __future__ import annotations

import base64
import json
import time
from typing import Any

import pytest
from starlette.requests import HTTPConnection

from sse_service.auth.alb.authenticator import SESSION_SECONDS, ALBAuthenticator
from sse_service.auth.alb.keys import ALBKeys
from sse_service.auth.tokens.claims import ClaimsReader
from sse_service.model.errors import Forbidden, InvalidToken
from sse_service.model.principal import Principal
from tests.integration.load_balancer import ARN, KID, LoadBalancer
from tests.unit.auth.alb.endpoint import URL, Endpoint

pytestmark = pytest.mark.anyio


@pytest.fixture
def balancer() -> LoadBalancer:
    return LoadBalancer()


@pytest.fixture
def endpoint(balancer: LoadBalancer) -> Endpoint:
    return Endpoint({KID: balancer.key})


@pytest.fixture
def by_header(endpoint: Endpoint) -> ALBAuthenticator:
    return ALBAuthenticator(
        arn=ARN,
        keys=ALBKeys(url=URL, fetch=endpoint.fetch),
        claims=ClaimsReader(audiences=["another-way"], groups_claim="cognito:groups"),
        allowed_origins=["https://app.example.com"],
    )


def request(*tokens: str, **headers: str) -> HTTPConnection:
    fields = {"host": "push.example.com", **{name.replace("_", "-"): value for name, value in headers.items()}}
    raw = [(name.encode(), value.encode("latin-1")) for name, value in fields.items()]
    raw += [(b"x-amzn-oidc-data", token.encode("latin-1")) for token in tokens]
    return HTTPConnection({"type": "http", "method": "GET", "scheme": "https", "path": "/events", "headers": raw})


async def user_of(by_header: ALBAuthenticator, *tokens: str, **headers: str) -> Principal:
    principal = await by_header.authenticate(request(*tokens, **headers))
    assert principal is not None
    return principal


async def test_the_header_names_the_user_and_the_groups(by_header: ALBAuthenticator, balancer: LoadBalancer) -> None:
    principal = await user_of(by_header, balancer.header(claims={"sub": "42", "cognito:groups": ["ops"]}))
    assert (principal.user, principal.groups) == ("42", ("ops",))


async def test_a_request_without_the_header_has_no_credential_of_this_kind(by_header: ALBAuthenticator) -> None:
    assert await by_header.authenticate(request()) is None


@pytest.mark.parametrize("extra", ["", "a", "ab"])
async def test_the_padding_that_aws_writes_is_accepted(
    by_header: ALBAuthenticator, balancer: LoadBalancer, extra: str
) -> None:
    token = balancer.header(claims={"sub": "42", "name": extra})
    assert token.endswith("=="), "a signature of 64 bytes is padded"
    assert all(len(segment) % 4 == 0 for segment in token.split("."))
    assert (await user_of(by_header, token)).user == "42"


async def test_a_stream_outlives_the_header_and_ends_with_the_longest_session(
    by_header: ALBAuthenticator, balancer: LoadBalancer
) -> None:
    before = int(time.time())
    principal = await user_of(by_header, balancer.header(ttl_seconds=60))
    assert before + SESSION_SECONDS <= principal.expires <= time.time() + SESSION_SECONDS


async def test_a_revoked_user_stays_revoked_because_the_header_does_not_say_when_it_was_issued(
    by_header: ALBAuthenticator, balancer: LoadBalancer
) -> None:
    principal = await user_of(by_header, balancer.header(claims={"sub": "42", "iat": int(time.time()) + 3600}))
    assert principal.issued is None
    assert len(principal.credential) == 16


async def test_an_audience_of_the_providers_other_tokens_does_not_matter(
    by_header: ALBAuthenticator, balancer: LoadBalancer
) -> None:
    assert (await user_of(by_header, balancer.header(claims={"sub": "42", "aud": "the-client"}))).user == "42"


@pytest.mark.parametrize("part", ["header", "payload"])
async def test_an_expired_header_is_refused_whichever_part_says_so(
    by_header: ALBAuthenticator, balancer: LoadBalancer, part: str
) -> None:
    past = int(time.time()) - 1
    expired = balancer.header(**({"exp": past} if part == "header" else {"claims": {"sub": "42", "exp": past}}))
    with pytest.raises(InvalidToken, match="expired"):
        await user_of(by_header, expired)


async def test_exp_is_needed_in_one_of_the_parts(by_header: ALBAuthenticator, balancer: LoadBalancer) -> None:
    with pytest.raises(InvalidToken, match="no exp"):
        await user_of(by_header, balancer.header(exp=None))
    later = int(time.time()) + 60
    assert (await user_of(by_header, balancer.header(exp=None, claims={"sub": "42", "exp": later}))).user == "42"


@pytest.mark.parametrize("exp", [True, "soon", None, [], 1e400])
async def test_an_exp_that_is_no_time_is_refused(
    by_header: ALBAuthenticator, balancer: LoadBalancer, exp: object
) -> None:
    with pytest.raises(InvalidToken):
        await user_of(by_header, balancer.header(claims={"sub": "42", "exp": exp}))


async def test_two_headers_are_refused_even_if_they_are_equal(
    by_header: ALBAuthenticator, balancer: LoadBalancer, endpoint: Endpoint
) -> None:
    token = balancer.header()
    with pytest.raises(InvalidToken, match="more than one"):
        await user_of(by_header, token, token)
    assert endpoint.asked == []


@pytest.mark.parametrize(
    "headers",
    [{"origin": "https://evil.example"}, {"origin": "null"}, {"sec_fetch_site": "cross-site"}],
)
async def test_a_page_of_another_site_may_not_use_the_load_balancers_session(
    by_header: ALBAuthenticator, balancer: LoadBalancer, headers: dict[str, str]
) -> None:
    with pytest.raises(Forbidden, match="SSE_CORS_ORIGINS"):
        await user_of(by_header, balancer.header(), **headers)


async def test_an_allowed_page_may_use_it(by_header: ALBAuthenticator, balancer: LoadBalancer) -> None:
    headers = {"origin": "https://app.example.com", "sec_fetch_site": "same-site"}
    assert (await user_of(by_header, balancer.header(), **headers)).user == "42"


@pytest.mark.parametrize(
    "header",
    [
        {"signer": ARN.replace("abcdef", "fedcba")},
        {"signer": ARN.upper()},
        {"signer": ARN + " "},
        {"signer": [ARN]},
        {"signer": None},
        {"alg": "none"},
        {"alg": "None"},
        {"alg": "es256"},
        {"alg": "ES384"},
        {"alg": "RS256"},
        {"alg": ["ES256"]},
        {"alg": None},
        {"kid": "../../secret"},
        {"kid": f"{KID}/../{KID}"},
        {"kid": f"https://evil.example/{KID}"},
        {"kid": f"//evil.example/{KID}"},
        {"kid": f"{KID}?x=1"},
        {"kid": f"{KID}\n"},
        {"kid": f" {KID}"},
        {"kid": KID.upper()},
        {"kid": KID.replace("-", "")},
        {"kid": f"{{{KID}}}"},
        {"kid": "a" * 10_000},
        {"kid": "' OR 1=1 --"},
        {"kid": 7},
        {"kid": [KID]},
        {"kid": {"a": KID}},
        {"kid": ""},
        {"kid": None},
        {"crit": ["b64"], "b64": False},
        {"crit": ["exp"]},
    ],
)
async def test_a_header_that_the_load_balancer_cannot_have_written_is_refused_without_a_fetch(
    by_header: ALBAuthenticator, balancer: LoadBalancer, endpoint: Endpoint, header: dict[str, Any]
) -> None:
    with pytest.raises(InvalidToken) as refused:
        await user_of(by_header, balancer.header(**header))
    assert str(refused.value) == ""
    assert endpoint.asked == []


@pytest.mark.parametrize("text", ["", "x", "a.b.c", "e30.e30.e30", "[].{}.", "\xff.\xff.\xff", "." * 9000])
async def test_garbage_is_refused_without_a_fetch(by_header: ALBAuthenticator, endpoint: Endpoint, text: str) -> None:
    with pytest.raises(InvalidToken) as refused:
        await user_of(by_header, text)
    assert str(refused.value) == ""
    assert endpoint.asked == []


async def test_another_key_under_the_same_kid_is_refused(by_header: ALBAuthenticator) -> None:
    with pytest.raises(InvalidToken) as refused:
        await user_of(by_header, LoadBalancer().header())
    assert str(refused.value) == ""


async def test_hs256_signed_with_the_public_key_is_refused(by_header: ALBAuthenticator, balancer: LoadBalancer) -> None:
    with pytest.raises(InvalidToken):
        await user_of(by_header, balancer.hs256_header())


@pytest.mark.parametrize("signature", [bytes(64), bytes(32) + b"\1" * 32, b"\1" * 32 + bytes(32), b"", b"\1" * 128])
async def test_a_signature_of_zeros_or_of_another_length_is_refused(
    by_header: ALBAuthenticator, balancer: LoadBalancer, signature: bytes
) -> None:
    signed, _, _ = balancer.header().rpartition(".")
    with pytest.raises(InvalidToken):
        await user_of(by_header, f"{signed}.{base64.urlsafe_b64encode(signature).decode()}")


async def test_changed_claims_are_refused(by_header: ALBAuthenticator, balancer: LoadBalancer) -> None:
    header, _, signature = balancer.header().split(".")
    claims = base64.urlsafe_b64encode(json.dumps({"sub": "7"}).encode()).decode()
    with pytest.raises(InvalidToken) as refused:
        await user_of(by_header, f"{header}.{claims}.{signature}")
    assert str(refused.value) == ""


@pytest.mark.parametrize(
    ("claims", "said"),
    [({}, "sub claim"), ({"sub": True}, "sub claim"), ({"sub": "42", "cognito:groups": "ops"}, "groups claim")],
)
async def test_the_refusal_names_the_invalid_claim_of_a_signed_header(
    by_header: ALBAuthenticator, balancer: LoadBalancer, claims: dict[str, Any], said: str
) -> None:
    with pytest.raises(InvalidToken, match=said):
        await user_of(by_header, balancer.header(claims=claims))
