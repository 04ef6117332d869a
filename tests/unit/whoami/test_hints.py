"""Hints for the mistakes that people make with tokens."""

from __future__ import annotations

from typing import Any

import orjson
import pytest
from pydantic import SecretStr

from sse_service.auth.outbound.fetch import Document
from sse_service.auth.providers.discovery import FetchRecord
from sse_service.auth.providers.key_set import KeySet
from sse_service.doctor.provider import ProviderAnswer
from sse_service.model.principal import Principal
from sse_service.settings.settings import Settings
from sse_service.whoami.claimed import Claimed
from sse_service.whoami.facts import facts
from sse_service.whoami.hints import hints, hints_of_provider
from sse_service.whoami.judgement import Judgement, Verdict, explained

NESTED: Any = orjson.loads("[" * 1000 + "]" * 1000)
NOW = 1_767_614_400.0
REFUSED = Judgement(Verdict.REFUSED, "no")
VERIFIED = Judgement(Verdict.REFUSED, "no", verified=True)
ISSUER = "https://login.example.com"
TENANT = "https://login.microsoftonline.com/11111111-2222-3333-4444-555555555555/v2.0"
PROVIDER: dict[str, Any] = {"oidc_issuers": (ISSUER,), "jwt_audience": ("push",)}
ENTRA: dict[str, Any] = {"oidc_issuers": (TENANT,), "jwt_audience": ("push",)}
SECRET: dict[str, Any] = {"jwt_secret": (SecretStr("s" * 32),)}
GOOD: dict[str, Any] = {"iss": ISSUER, "aud": "push", "exp": NOW + 300}


def said(
    claims: dict[str, Any], settings: dict[str, Any], *, alg: str = "RS256", judgement: Judgement = REFUSED
) -> list[str]:
    return hints(Claimed({"alg": alg}, claims), judgement, Settings(**settings), size=700, now=NOW)


@pytest.mark.parametrize(
    ("claims", "settings", "alg", "hint"),
    [
        (GOOD, PROVIDER, "none", "nobody signed it"),
        (GOOD, PROVIDER, "nOnE", "nobody signed it"),
        (GOOD, PROVIDER, "PS256", "SSE_JWT_ALGORITHMS is RS256,ES256, without PS256"),
        (GOOD, SECRET, "RS256", "set SSE_OIDC_ISSUERS"),
        (GOOD, PROVIDER, "HS256", "SSE_JWT_SECRET is not set"),
        ({"exp": NOW + 300}, SECRET, "HS256", "a secret that is not in SSE_JWT_SECRET"),
        ({"exp": NOW + 300}, SECRET, "HS512", "sign with it instead of HS512"),
        ({**GOOD, "iss": f"{ISSUER}/"}, PROVIDER, "RS256", "the slash at the end must be the same"),
        ({**GOOD, "iss": "https://sts.windows.net/1111/"}, ENTRA, "RS256", "requestedAccessTokenVersion to 2"),
        ({**GOOD, "iss": "https://evil.example"}, PROVIDER, "RS256", f"the settings name {ISSUER}"),
        ({**GOOD, "aud": "client-1", "azp": "client-1"}, PROVIDER, "RS256", "it is an ID token"),
        ({**GOOD, "aud": "client-1", "nonce": "n"}, PROVIDER, "RS256", "it is an ID token"),
        ({**GOOD, "aud": "client-1", "token_use": "id"}, PROVIDER, "RS256", "it is an ID token"),
        ({**GOOD, "aud": ["other"]}, PROVIDER, "RS256", "its audience is other, and SSE_JWT_AUDIENCE is push"),
        ({"iss": ISSUER, "client_id": "c"}, PROVIDER, "RS256", "its audience is c, and SSE_JWT_AUDIENCE is push"),
        (
            {"iss": TENANT, "aud": "00000003-0000-0000-c000-000000000000", "scp": "User.Read", "exp": NOW + 300},
            ENTRA,
            "RS256",
            "only Graph can verify it",
        ),
        ({**GOOD, "exp": NOW * 1000}, PROVIDER, "RS256", "milliseconds"),
        (
            {**GOOD, "uid": "7"},
            PROVIDER,
            "RS256",
            "SSE_USER_CLAIM is sub, which it does not have; it has the claim uid",
        ),
        ({**GOOD, "iat": NOW + 90}, PROVIDER, "RS256", "this machine's clock is behind"),
    ],
)
def test_each_mistake_has_its_hint_and_no_other(
    claims: dict[str, Any], settings: dict[str, Any], alg: str, hint: str
) -> None:
    judgement = REFUSED if alg == "HS256" else VERIFIED
    [found] = said(claims, settings, alg=alg, judgement=judgement)
    assert hint in found


def test_a_load_balancers_header_is_recognized() -> None:
    token = Claimed({"alg": "ES256", "signer": "arn:aws:elasticloadbalancing:…"}, {"sub": "42", "exp": NOW + 300})
    [found] = hints(token, REFUSED, Settings(**PROVIDER), size=700, now=NOW)
    assert "x-amzn-oidc-data" in found


def test_a_token_without_a_mistake_has_no_hint() -> None:
    assert said(GOOD, PROVIDER, judgement=VERIFIED) == []
    assert said({**GOOD, "azp": "client-1", "scope": "openid"}, PROVIDER, judgement=VERIFIED) == []
    assert said({**GOOD, "aud": "client-1", "azp": "client-1", "token_use": "access"}, PROVIDER)[0].startswith(
        "its aud"
    )


def test_claims_of_unexpected_types_are_no_mistake() -> None:
    odd = {"iss": ["x"], "aud": {"a": 1}, "exp": "soon", "iat": True, "azp": [], "typ": 7, "token_use": {}}
    assert said(odd, PROVIDER) == []
    assert said({**odd, "aud": [[], None]}, PROVIDER) == []
    assert said(dict.fromkeys(odd, NESTED), PROVIDER) == []


def test_an_algorithm_that_is_nested_deeply_is_no_algorithm() -> None:
    token = Claimed({"alg": NESTED}, GOOD)
    for settings in (PROVIDER, SECRET):
        assert hints(token, REFUSED, Settings(**settings), size=700, now=NOW)
        assert "algorithm   (a list)" in facts(token, REFUSED, Settings(**settings), now=NOW)


def test_a_token_that_only_its_issuer_can_read_is_explained() -> None:
    opaque = Claimed({}, {}, "it is no JWT", opaque=True)
    found = hints(opaque, REFUSED, Settings(**PROVIDER), size=32, now=NOW)
    assert found[0] == "it is no JWT"
    assert "`audience` parameter" in found[1]
    assert "SSE_AUTHORIZER_URL" in found[2]
    assert len(hints(opaque, REFUSED, Settings(**SECRET), size=32, now=NOW)) == 2


def test_a_large_token_that_is_accepted_has_a_hint_about_cookies() -> None:
    accepted = Judgement(Verdict.ACCEPTED, principal=Principal("42", (), int(NOW) + 300), verified=True)
    token, settings = Claimed({"alg": "RS256"}, GOOD), Settings(**PROVIDER)
    assert hints(token, accepted, settings, size=700, now=NOW) == []
    [found] = hints(token, accepted, settings, size=4000, now=NOW)
    assert "browsers drop cookies" in found


def test_a_clock_that_is_off_is_named_for_an_accepted_token_too() -> None:
    accepted = Judgement(Verdict.ACCEPTED, principal=Principal("42", (), int(NOW) + 300), verified=True)
    token = Claimed({"alg": "RS256"}, {**GOOD, "iat": NOW + 600})
    [found] = hints(token, accepted, Settings(**PROVIDER), size=700, now=NOW)
    assert "issued in the future" in found


def test_groups_in_another_claim_are_named() -> None:
    accepted = Judgement(Verdict.ACCEPTED, principal=Principal("42", (), int(NOW) + 300), verified=True)
    token = Claimed({"alg": "RS256"}, {**GOOD, "cognito:groups": ["ops"]})
    [found] = hints(token, accepted, Settings(**PROVIDER), size=700, now=NOW)
    assert found == "SSE_GROUPS_CLAIM is groups, where it has no groups; it has the claim cognito:groups"
    assert hints(token, accepted, Settings(**PROVIDER, groups_claim="cognito:groups"), size=700, now=NOW) == []


def answer(**changed: Any) -> ProviderAnswer:
    return ProviderAnswer(FetchRecord(f"{ISSUER}/keys", of_keys=True), **changed)


def test_an_unknown_key_is_named_with_the_keys_that_there_are() -> None:
    token = Claimed({"alg": "RS256", "kid": "old\x1b[2J"}, GOOD)
    keys = KeySet({"b": {}, "a": {}}, {}, 2)
    judged = explained(Judgement(Verdict.UNDECIDED), token, answer(keys=keys))
    assert (judged.verdict, judged.why) == (Verdict.REFUSED, "its issuer has no key with the id old\\x1b[2J")
    assert hints_of_provider(token, answer(keys=keys)) == ["the provider has keys with these ids now: a, b"]
    bare = Claimed({"alg": "ES256"}, GOOD)
    assert explained(Judgement(Verdict.UNDECIDED), bare, answer(keys=keys)).why == "its issuer has no key for ES256"


def test_a_provider_without_keys_decides_nothing() -> None:
    token = Claimed({"alg": "RS256", "kid": "k"}, GOOD)
    judged = explained(Judgement(Verdict.UNDECIDED), token, answer(problem="it answered 502"))
    assert judged.verdict is Verdict.UNDECIDED
    assert judged.why == f"the keys of its issuer cannot be fetched: it answered 502 ({ISSUER}/keys)"
    assert explained(REFUSED, token, answer(problem="it answered 502")) is REFUSED


def dated(local: float) -> FetchRecord:
    """Make the record of an answer that was made at NOW and came at this local time."""
    document = Document(b"{}", None, "Mon, 05 Jan 2026 12:00:00 GMT", sent=local, received=local)
    return FetchRecord(f"{ISSUER}/keys", of_keys=True, dated=document)


def test_a_key_id_that_is_no_text_is_no_key_of_the_provider() -> None:
    keys = KeySet({"a": {}}, {}, 1)
    for kid in ({"a": 1}, ["a"], NESTED):
        token = Claimed({"alg": "RS256", "kid": kid}, GOOD)
        assert hints_of_provider(token, answer(keys=keys)) == ["the provider has keys with these ids now: a"]


def test_a_clock_that_is_off_is_named() -> None:
    token = Claimed({"alg": "RS256", "kid": "k"}, GOOD)
    keys = KeySet({"k": {}}, {}, 1)
    assert hints_of_provider(token, ProviderAnswer(dated(NOW - 29), keys)) == []
    [found] = hints_of_provider(token, ProviderAnswer(dated(NOW - 90), keys))
    assert "90 s behind the provider's" in found
