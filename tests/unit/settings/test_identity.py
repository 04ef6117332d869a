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


def test_issuers_are_kept_to_the_letter() -> None:
    given = "https://Login.example.com/, http://127.0.0.1:8080/realms/a"
    assert Settings(**{**PROVIDER, "oidc_issuers": given}).oidc_issuers == tuple(given.split(", "))
