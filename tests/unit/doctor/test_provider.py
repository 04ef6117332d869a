"""The answers of identity providers."""

from __future__ import annotations

from typing import Any

from jwt import PyJWK

from sse_service.auth.outbound.fetch import Document
from sse_service.auth.providers.discovery import FetchRecord
from sse_service.auth.providers.key_set import KeySet
from sse_service.doctor.provider import ProviderAnswer, check_provider
from sse_service.doctor.report import Level
from sse_service.settings.settings import Settings

AT = 1_767_614_400
"""2026-01-05 12:00:00 UTC"""

ISSUER = "https://login.example.com"
SETTINGS = Settings(oidc_issuers=(ISSUER,), jwt_audience=("push", "web"))
KEY = PyJWK({"kty": "oct", "k": "AA"}, "HS256")
KEYS = KeySet({"a": {}}, {"RS256": (KEY, KEY), "ES256": ()}, 2)


def answer(*, url: str = f"{ISSUER}/keys", of_keys: bool = True, ahead: float = 0, **changed: Any) -> ProviderAnswer:
    """Make an answer of a provider. ``ahead`` is by how many seconds the local clock is ahead."""
    local = AT + ahead
    dated = Document(b"{}", None, "Mon, 05 Jan 2026 12:00:00 GMT", sent=local, received=local + 0.4)
    return ProviderAnswer(FetchRecord(url, of_keys, dated), **{"keys": KEYS, **changed})


def test_usable_keys_are_counted_by_algorithm() -> None:
    [found] = check_provider(ISSUER, answer(), SETTINGS)
    assert found.level is Level.OK
    assert found.text == f"{ISSUER}: 2 usable keys (2 for RS256); audience push, web"


def test_a_clock_that_is_off_by_more_than_30_seconds_is_a_warning() -> None:
    # The header has whole seconds, so one second more may be no difference.
    assert len(check_provider(ISSUER, answer(ahead=31), SETTINGS)) == 1
    assert len(check_provider(ISSUER, ProviderAnswer(FetchRecord(), KEYS), SETTINGS)) == 1
    ahead, _ = check_provider(ISSUER, answer(ahead=32), SETTINGS)
    behind, _ = check_provider(ISSUER, answer(ahead=-600.4), SETTINGS)
    assert (ahead.level, behind.level) == (Level.WARN, Level.WARN)
    assert "31 s ahead of" in ahead.text
    assert "600 s behind" in behind.text
    assert "NTP" in behind.fix


def test_discovery_and_keys_fail_with_their_own_advice() -> None:
    url = f"{ISSUER}/.well-known/openid-configuration"
    [found] = check_provider(ISSUER, answer(url=url, of_keys=False, keys=None, problem="it answered 404"), SETTINGS)
    assert found.level is Level.FAIL
    assert found.text == f"{ISSUER}: no discovery document (it answered 404)"
    assert url in found.fix
    assert "SSE_OIDC_ISSUERS" in found.fix
    [found] = check_provider(ISSUER, answer(keys=None, problem="it answered 500"), SETTINGS)
    assert found.text == f"{ISSUER}: no keys (it answered 500)"
    assert f"{ISSUER}/keys" in found.fix
