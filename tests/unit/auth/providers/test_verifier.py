"""Which tokens of identity providers are accepted, and which key judges a token."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import jwt
import pytest

from sse_service.auth.tokens.verifier import fingerprint
from sse_service.model.errors import InvalidToken, Overloaded
from tests.unit.auth.providers.signing_keys import ISSUER, SigningKey
from tests.unit.auth.providers.verifier_setup import EC, ED, OTHER, OTHER_ISSUER, RSA, SAME_KID, SECRET, Setup, b64


def test_a_token_of_keycloak_is_accepted_with_its_nested_roles() -> None:
    token = RSA.sign(
        **{"iat": int(time.time()), "jti": "onrtro:1", "aud": ["push", "account"], "typ": "Bearer", "azp": "spa"},
        sub="f:7",
        session_state="0b",
        acr="1",
        realm_access={"roles": ["ops", "offline_access"]},
        resource_access={"account": {"roles": ["view-profile"]}},
        scope="openid email",
    )
    principal = Setup(groups_claim="realm_access.roles").verify(token)
    assert (principal.user, principal.groups) == ("f:7", ("ops", "offline_access"))
    assert principal.issued is not None
    assert len(principal.credential) == 16


def test_the_fingerprint_tells_a_token_from_the_same_claims_with_another_signature() -> None:
    claims = {"jti": "one", "iat": 1, "exp": 2**31}
    # ES256 makes another signature each time.
    one, other = EC.sign(**claims), EC.sign(**claims)
    verified = [Setup().verify(token) for token in (one, other, one)]
    assert len({each.credential for each in verified}) == 1
    assert [each.fingerprint for each in verified] == [fingerprint(one), fingerprint(other), fingerprint(one)]
    assert fingerprint(one) != fingerprint(other)


def test_a_token_of_cognito_is_accepted_by_its_client_id_and_groups() -> None:
    token = RSA.sign(
        **{"cognito:groups": ["ops"], "aud": None, "client_id": "app", "token_use": "access", "version": 2},
        **{"origin_jti": "a", "event_id": "b", "scope": "aws.cognito.signin.user.admin", "username": "ann"},
    )
    setup = Setup(audiences=("other", "app"), groups_claim="cognito:groups", user_claim="username")
    principal = setup.verify(token)
    assert (principal.user, principal.groups) == ("ann", ("ops",))


def test_a_token_of_auth0_is_accepted_with_a_claim_named_by_a_url() -> None:
    token = RSA.sign(
        **{"https://example.com/roles": ["ops"], "aud": ["push", "https://t.eu.auth0.com/userinfo"], "azp": "spa"},
        headers={"typ": "at+jwt"},
        sub="auth0|7",
    )
    principal = Setup(groups_claim="https://example.com/roles").verify(token)
    assert (principal.user, principal.groups) == ("auth0|7", ("ops",))


def test_a_token_of_entra_is_accepted() -> None:
    token = RSA.sign(
        headers={"x5t": "rsa", "nonce": None},
        **{"ver": "2.0", "oid": "0-1", "tid": "t", "roles": ["ops"], "nbf": int(time.time()), "aio": "A", "uti": "u"},
    )
    principal = Setup(user_claim="oid", groups_claim="roles").verify(token)
    assert (principal.user, principal.groups) == ("0-1", ("ops",))


@pytest.mark.parametrize("key", [RSA, EC, ED], ids=lambda key: key.algorithm)
@pytest.mark.parametrize("typ", [None, "", "JWT", "jwt", "at+jwt", "AT+JWT", "application/at+jwt", "Application/JWT"])
def test_each_algorithm_and_type_of_an_access_token_is_accepted(key: SigningKey, typ: str | None) -> None:
    if typ == "":
        # PyJWT leaves an empty type out of the header.
        assert "typ" not in jwt.get_unverified_header(key.sign(headers={"typ": typ}))
    token = key.sign() if typ is None else key.sign(headers={"typ": typ})
    assert Setup().verify(token).user == "42"


def test_a_token_without_a_kid_is_accepted_if_its_issuer_has_one_key_for_its_algorithm() -> None:
    token = SigningKey(None).sign()
    assert Setup(RSA, EC).verify(token).user == "42"
    assert "several keys" in Setup(RSA, OTHER).refused_unfetched(token)


# Which key judges


def test_each_provider_signs_for_itself_alone_also_under_the_same_kid() -> None:
    setup = Setup(RSA, others=[SAME_KID])
    assert setup.verify(RSA.sign(iss=ISSUER)).user == "42"
    assert setup.verify(SAME_KID.sign(iss=OTHER_ISSUER)).user == "42"
    assert "another key" in setup.refused_unfetched(SAME_KID.sign(iss=ISSUER))
    assert "another key" in setup.refused_unfetched(RSA.sign(iss=OTHER_ISSUER))


def test_a_key_of_one_provider_is_unknown_to_another() -> None:
    setup = Setup(RSA, others=[OTHER])
    error = setup.refused(RSA.sign(iss=OTHER_ISSUER))
    assert str(error) == ""
    assert "has no key" in error.internal_reason
    assert setup.fetches == 1


def test_two_issuers_may_have_the_same_keys() -> None:
    setup = Setup(RSA, others=[RSA])
    assert setup.verify(RSA.sign(iss=ISSUER)).user == setup.verify(RSA.sign(iss=OTHER_ISSUER)).user == "42"


def test_all_keys_of_the_same_kid_are_tried() -> None:
    setup = Setup(RSA, SAME_KID)
    assert setup.verify(RSA.sign()).user == setup.verify(SAME_KID.sign()).user == "42"


@pytest.mark.parametrize(
    "iss", ["https://evil.example", ISSUER + "/", "", 7, ["x"], {}, None, ISSUER.upper(), f"{ISSUER}\u0000"]
)
def test_a_token_of_an_issuer_that_is_not_configured_causes_no_fetch(iss: Any) -> None:
    payload = b64({"iss": iss, "aud": "push", "sub": "42", "exp": int(time.time()) + 600})
    token = f"{b64({'alg': 'RS256', 'kid': 'unknown'})}.{payload}.AAAA"
    assert "iss claim" in Setup().refused_unfetched(token)


def test_an_unsigned_token_is_told_the_issuer_in_the_internal_reason_alone() -> None:
    reason = Setup(others=[OTHER]).refused_unfetched(SAME_KID.sign(iss="https://evil.example"))
    assert reason == ("the token's iss claim, 'https://evil.example', is not in SSE_JWT_ISSUER or SSE_OIDC_ISSUERS")


@pytest.mark.parametrize(("key", "setting"), [(RSA, "SSE_OIDC_ISSUERS"), (OTHER, "SSE_JWT_ISSUER")])
def test_a_signed_token_of_a_wrong_issuer_is_told_the_setting(key: SigningKey, setting: str) -> None:
    setup = Setup(RSA, others=[OTHER])
    error = setup.refused(key.sign(iss="https://wrong.example.com"))
    assert str(error) == f"the token's iss claim is not the issuer that {setting} names"
    assert setup.fetches == 0


@pytest.mark.parametrize(
    ("said", "claims"),
    [
        ("aud claim does not contain", {"aud": "other"}),
        ("aud claim does not contain", {"aud": ["other", 7]}),
        ("has no aud claim", {"aud": None}),
        ("client_id claim does not contain", {"aud": None, "client_id": "other"}),
        ("has no exp claim", {"exp": None}),
        ("has expired", {"exp": 1}),
        ("milliseconds", {"exp": int(time.time() * 1000)}),
        ("nbf claim is more than 60 s", {"nbf": int(time.time()) + 86_400}),
        ("token_use claim", {"token_use": "id"}),
        ("typ claim", {"typ": "ID"}),
        ("typ claim", {"typ": "Refresh"}),
        ("has no sub claim", {"sub": None}),
    ],
)
def test_the_refusal_of_a_signed_token_names_the_claim(said: str, claims: dict[str, Any]) -> None:
    assert said in str(Setup().refused(RSA.sign(**claims)))
    # Nothing is told before the signature holds.
    assert str(Setup().refused(SAME_KID.sign(**claims))) == ""


# HS256 beside providers


def test_tokens_of_ones_own_back_end_are_accepted_beside_those_of_a_provider() -> None:
    setup = Setup(secrets=[SECRET])
    claims = {"sub": "7", "aud": "push", "exp": int(time.time()) + 600}
    assert setup.verify(jwt.encode(claims, SECRET, "HS256")).user == "7"
    assert setup.verify(RSA.sign()).user == "42"
    assert str(setup.refused(jwt.encode(claims, "x" * 32, "HS256"))) == ""


def test_hs256_is_refused_without_a_shared_secret() -> None:
    token = jwt.encode({"iss": ISSUER, "aud": "push", "sub": "42", "exp": int(time.time()) + 600}, SECRET, "HS256")
    assert "SSE_JWT_SECRET is not set" in Setup().refused_unfetched(token)


# Keys that are not there


def test_without_keys_a_token_cannot_be_judged() -> None:
    verifier = Setup().unfetched()
    with pytest.raises(Overloaded):
        asyncio.run(verifier.verify(RSA.sign()))
    with pytest.raises(InvalidToken):
        asyncio.run(verifier.verify(RSA.sign(iss="https://evil.example")))
