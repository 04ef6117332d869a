"""Which settings of identity go together."""

from __future__ import annotations

import pytest

from sse_service.settings.settings import Settings
from tests.unit.settings.test_settings import refused

PROVIDER = {"oidc_issuers": "https://login.example.com", "jwt_audience": "push"}


def test_a_provider_needs_an_audience() -> None:
    for name in ("oidc_issuers", "jwks_url"):
        text = refused(**{name: "https://login.example.com", "jwt_issuer": "https://other.example.com"})
        assert text.startswith("SSE_JWT_AUDIENCE: must be set")


def test_the_url_of_keys_needs_their_issuer_and_only_one_way_to_find_them() -> None:
    assert refused(**PROVIDER, jwks_url="https://a.example/keys").startswith("SSE_JWT_ISSUER: must be set")
    text = refused(**PROVIDER, jwks_url="https://a.example/keys", jwt_issuer=PROVIDER["oidc_issuers"])
    assert text.startswith("SSE_JWKS_URL: must be unset")
    assert Settings(**PROVIDER, jwks_url="https://a.example/keys", jwt_issuer="https://a.example").has_provider


@pytest.mark.parametrize(
    "issuer",
    [
        *("http://login.example.com", "login.example.com", "https://user@login.example.com", "https://a.example/?x=1"),
        *("https://a.example/#x", "https:///path", "ftp://127.0.0.1", "https://a b.example"),
    ],
)
def test_an_issuer_must_be_an_https_url(issuer: str) -> None:
    assert refused(**{**PROVIDER, "oidc_issuers": issuer}).startswith("SSE_OIDC_ISSUERS: must")


@pytest.mark.parametrize("slash", ["", "/"])
def test_the_address_of_a_discovery_document_is_no_issuer(slash: str) -> None:
    document = f"https://login.example.com/.well-known/openid-configuration{slash}"
    text = "SSE_OIDC_ISSUERS: must be the issuer alone, without /.well-known/openid-configuration"
    assert refused(**{**PROVIDER, "oidc_issuers": document}) == text


@pytest.mark.parametrize(
    "host", ["169.254.169.254", "[fd00:ec2::254]", "[fe80::1]", "2852039166", "[::ffff:a9fe:a9fe]"]
)
@pytest.mark.parametrize("scheme", ["http", "https"])
def test_a_provider_is_not_at_a_link_local_address_or_at_an_instances_metadata(scheme: str, host: str) -> None:
    text = "must not name a link-local address or an instance's metadata"
    assert refused(**{**PROVIDER, "oidc_issuers": f"{scheme}://{host}/"}) == f"SSE_OIDC_ISSUERS: {text}"
    assert refused(jwks_url=f"{scheme}://{host}/keys") == f"SSE_JWKS_URL: {text}"


def test_issuers_are_kept_to_the_letter() -> None:
    given = "https://Login.example.com/, http://127.0.0.1:8080/realms/a"
    assert Settings(**{**PROVIDER, "oidc_issuers": given}).oidc_issuers == tuple(given.split(", "))


def test_algorithms_are_read_in_any_case() -> None:
    assert Settings(jwt_algorithms="rs256, EDDSA,eddsa, Ps512").jwt_algorithms == ("RS256", "EdDSA", "PS512")


@pytest.mark.parametrize("word", ["HS256", "hs256", "RS256,hs256"])
def test_hs256_is_no_algorithm_of_a_provider(word: str) -> None:
    text = refused(jwt_algorithms=word)
    assert text.startswith("SSE_JWT_ALGORITHMS: each must be one of RS256, RS384, ")
    assert text.endswith(", EdDSA: HS256 tokens need only SSE_JWT_SECRET")


@pytest.mark.parametrize("word", ["none", "RS255", "HS512"])
def test_another_algorithm_is_refused(word: str) -> None:
    assert refused(jwt_algorithms=word).endswith(", ES512, EdDSA")


ARN = "arn:aws:elasticloadbalancing:eu-west-1:123456789012:"


@pytest.mark.parametrize(
    "wrong",
    [
        f"{ARN}loadbalancer/net/push/0123456789abcdef",
        f"{ARN}listener/app/push/0123456789abcdef/0123456789abcdef",
        f"{ARN}loadbalancer/push",
        "push.example.com",
    ],
)
def test_only_an_application_load_balancer_signs_users_in(wrong: str) -> None:
    start = "SSE_ALB_ARN: must be the ARN of an Application Load Balancer, such as arn:aws:elasticloadbalancing:"
    assert refused(alb_arn=wrong).startswith(start)


@pytest.mark.parametrize(
    "wrong", ["ftp://backend.internal/push/user", "backend.internal/push/user", "http://", "http://["]
)
def test_an_authorizers_url_has_http_or_https(wrong: str) -> None:
    text = "SSE_AUTHORIZER_URL: must be an http or https URL, such as http://backend.internal/push/user"
    assert refused(authorizer_url=wrong) == text


@pytest.mark.parametrize("url", ["http://backend.internal/push/user", "https://10.0.0.1/?a=1"])
def test_an_authorizer_may_be_anywhere(url: str) -> None:
    assert Settings(authorizer_url=url).authorizer_url == url
