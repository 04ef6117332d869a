"""White space around values, which files and templates easily add, is dropped. Around secrets it is refused."""

from __future__ import annotations

import pytest

from sse_service.settings.settings import Settings
from tests.unit.settings.test_settings import SECRET, refused

PADDED = {
    "queue_url": "https://sqs.eu-west-1.amazonaws.com/123456789012/events",
    "topic_arn": "arn:aws:sns:eu-west-1:123456789012:events",
    "single_task": "true",
    "broker_url": "redis://host:6379",
    "jwt_issuer": "https://issuer.example.com",
    "jwt_audience": "push",
    "oidc_issuers": "https://login.example.com/",
    "jwks_url": "https://login.example.com/keys",
    "jwt_algorithms": "RS256,ES256",
    "alb_arn": "arn:aws:elasticloadbalancing:eu-west-1:123456789012:loadbalancer/app/push/0123456789abcdef",
    "authorizer_url": "http://backend.internal/push",
    "authorizer": "myapp.push:authorize",
    "user_claim": "uid",
    "groups_claim": "roles",
    "cookie_name": "__Host-session",
    "cookie_samesite": "none",
    "cookie_domain": "example.com",
    "s3_key_pattern": "users/{user}/*",
    "cors_origins": "https://a.example,https://b.example",
    "trusted_proxies": "10.0.0.0/8,::1/128",
    "sqs_fast_path": "false",
    "otel": "false",
    "admin_host": "::1",
    "emf_namespace": "push/prod",
    "log_level": "debug",
    "log_format": "text",
    **{f"route_{field}": "body.x" for field in ("user", "group", "broadcast", "type", "subject", "data", "id")},
    "unrouted": "discard",
    **{name: "5" for name, field in Settings.model_fields.items() if field.annotation is int},
    "max_streams_per_address": "5",
    "history_bytes": "1000000",
}
NEEDED = {
    "oidc_issuers": {"jwt_audience": "push"},
    "jwks_url": {"jwt_audience": "push", "jwt_issuer": "https://login.example.com"},
}
"""Other settings without which one is refused."""
SECRETS = {"jwt_secret": SECRET, "broker_password": "password"}


def test_the_tests_of_white_space_include_every_setting() -> None:
    assert {*PADDED, *SECRETS} == set(Settings.model_fields)


@pytest.mark.parametrize("name", PADDED)
@pytest.mark.parametrize("padded", ["{}\n", "{}\r\n", " {} ", "\t{}"])
def test_white_space_around_a_value_is_dropped(name: str, padded: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for other, value in NEEDED.get(name, {}).items():
        monkeypatch.setenv(f"SSE_{other.upper()}", value)
    expected = getattr(Settings(**{name: PADDED[name]}), name)
    monkeypatch.setenv(f"SSE_{name.upper()}", padded.format(PADDED[name]))
    assert getattr(Settings(), name) == expected


@pytest.mark.parametrize("name", SECRETS)
@pytest.mark.parametrize("padded", ["{}\n", " {}"])
def test_white_space_around_a_secret_is_refused(name: str, padded: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SSE_BROKER_URL", "redis://host")
    monkeypatch.setenv(f"SSE_{name.upper()}", padded.format(SECRETS[name]))
    text = refused()
    assert text.startswith(f"SSE_{name.upper()}: must have no space or line end")
    assert SECRETS[name] not in text
