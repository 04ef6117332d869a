"""The lines below the judgement."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import SecretStr

from sse_service.model.principal import Principal
from sse_service.settings.settings import Settings
from sse_service.whoami.claimed import Claimed
from sse_service.whoami.facts import facts, moment, span
from sse_service.whoami.judgement import Judgement, Verdict

NOW = 1_767_614_400.0
REFUSED = Judgement(Verdict.REFUSED, "no")
SECRET = (SecretStr("s" * 32),)
ISSUER = "https://login.example.com"


def accepted(*, left: float) -> Judgement:
    principal = Principal("42", ("ops",), int(NOW + left))
    return Judgement(Verdict.ACCEPTED, principal=principal, verified=True)


def lines(judgement: Judgement, claims: dict[str, Any] | None = None, alg: str = "HS256", **settings: Any) -> str:
    token = Claimed({"alg": alg, "kid": "k1"}, claims or {})
    return "\n".join(facts(token, judgement, Settings(**settings), now=NOW))


@pytest.mark.parametrize(
    ("seconds", "expected"),
    [(-1, "0 s"), (0, "0 s"), (119, "119 s"), (120, "2 min"), (7199, "120 min"), (7200, "2 h"), (172_800, "2 days")],
)
def test_a_span_has_one_unit(seconds: float, expected: str) -> None:
    assert span(seconds) == expected


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (NOW + 840, "in 14 min (2026-01-05 12:14:00 UTC)"),
        (NOW - 180, "3 min ago (2026-01-05 11:57:00 UTC)"),
        (None, "not said"),
        ("soon", "soon, which is no number"),
        (True, "True, which is no number"),
        (NOW * 1000, "1767614400000.0, beyond the year 9999"),
        (1e300, "1e+300, beyond the year 9999"),
    ],
)
def test_a_time_is_written_as_seen_from_now(value: object, expected: str) -> None:
    assert moment(value, NOW) == expected


def test_the_facts_of_an_accepted_token() -> None:
    claims = {"iss": ISSUER, "aud": ["push", "web"], "iat": NOW - 60, "exp": NOW + 840}
    assert lines(accepted(left=840), claims, jwt_secret=SECRET).splitlines() == [
        "judged by   SSE_JWT_SECRET",
        "signature   good",
        "algorithm   HS256",
        "key id      k1",
        "issuer      https://login.example.com (verified)",
        "audience    push, web",
        "issued      60 s ago (2026-01-05 11:59:00 UTC)",
        "expires     in 14 min (2026-01-05 12:14:00 UTC)",
        "a stream    that opens now ends in 14 min with the token (expired), and needs a new one to go on",
    ]


def test_a_long_lived_token_does_not_decide_when_a_stream_ends() -> None:
    said = lines(accepted(left=86_400), stream_max_age_seconds=14_400)
    assert "ends after 3 h to 4 h (SSE_STREAM_MAX_AGE_SECONDS)" in said


def test_claims_without_a_good_signature_are_marked() -> None:
    said = lines(REFUSED, {"iss": ISSUER, "sub": "42"}, "RS256", oidc_issuers=(ISSUER,), jwt_audience=("push",))
    assert "signature   not verified" in said
    assert f"issuer      {ISSUER} (only claimed)" in said
    assert "user        42 (sub)" in said
    assert "judged by   SSE_OIDC_ISSUERS" in said


def test_a_token_of_cognito_shows_its_client_id() -> None:
    assert "audience    abc (client_id)" in lines(REFUSED, {"client_id": "abc"})


@pytest.mark.parametrize(
    ("alg", "settings", "expected"),
    [
        ("HS256", {}, "no setting: SSE_JWT_SECRET is not set"),
        ("RS256", {"jwt_secret": SECRET}, "no setting accepts its algorithm"),
        ("RS256", {"oidc_issuers": ("https://other.example",), "jwt_audience": ("a",)}, "no setting names its issuer"),
        (
            "RS256",
            {"jwks_url": "https://a.example/k", "jwt_issuer": ISSUER, "jwt_audience": ("a",)},
            "SSE_JWKS_URL, by SSE_JWT_ISSUER",
        ),
    ],
)
def test_the_setting_that_judges_is_named(alg: str, settings: dict[str, Any], expected: str) -> None:
    assert f"judged by   {expected}" in lines(REFUSED, {"iss": ISSUER}, alg, **settings)


def test_a_claim_cannot_add_a_line() -> None:
    said = lines(REFUSED, {"iss": "x\naccepted: user 1", "exp": "\x1b[2J", "aud": "a\rb"})
    assert "\naccepted" not in said
    assert all(char == "\n" or char.isprintable() for char in said)


def test_a_token_that_cannot_be_read_has_no_facts() -> None:
    assert facts(Claimed({}, {}, "no JWT"), REFUSED, Settings(), now=NOW) == []
