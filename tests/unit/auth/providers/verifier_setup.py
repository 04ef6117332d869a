"""A ProviderVerifier whose providers have their keys."""

from __future__ import annotations

import asyncio
import base64
import json
from typing import Any

import pytest

from sse_service.auth.providers.discovery import FetchedKeys
from sse_service.auth.providers.key_set import read_keys
from sse_service.auth.providers.provider import Provider
from sse_service.auth.providers.verifier import ProviderVerifier
from sse_service.auth.tokens.claims import ClaimsReader
from sse_service.auth.tokens.hs256 import HS256Verifier
from sse_service.model.errors import InvalidToken, Overloaded
from sse_service.model.principal import Principal
from tests.unit.auth.providers.signing_keys import ISSUER, SigningKey

OTHER_ISSUER = "https://other.example.com/"
SECRET = "s" * 32
ALGORITHMS = ["RS256", "ES256", "EdDSA"]
RSA = SigningKey("rsa")
EC = SigningKey("ec", algorithm="ES256")
ED = SigningKey("ed", algorithm="EdDSA")
OTHER = SigningKey("other", number=1)
SAME_KID = SigningKey("rsa", number=1)


class Setup:
    """A verifier over providers whose keys are known. It counts further fetches."""

    def __init__(
        self,
        *keys: SigningKey,
        others: list[SigningKey] | None = None,
        secrets: list[str] | None = None,
        audiences: tuple[str, ...] = ("push",),
        **claims: str,
    ) -> None:
        """``others`` are the keys of OTHER_ISSUER, which is given in SSE_JWT_ISSUER."""
        self.fetches = 0
        self.now = 0.0
        self._issuers = {ISSUER: ("SSE_OIDC_ISSUERS", keys or (RSA, EC, ED))}
        if others is not None:
            self._issuers[OTHER_ISSUER] = ("SSE_JWT_ISSUER", tuple(others))
        self._claims = ClaimsReader(audiences=audiences, **claims)
        self._shared_secrets = HS256Verifier(secrets=secrets, claims=self._claims) if secrets else None

    def _provider(self, issuer: str, setting: str, keys: Any) -> Provider:
        fetched = FetchedKeys(read_keys({"keys": [key.jwk for key in keys]}, algorithms=ALGORITHMS), None)

        async def fetch() -> FetchedKeys:
            self.fetches += 1
            return fetched

        return Provider(issuer=issuer, issuer_setting=setting, fetch=fetch, clock=lambda: self.now)

    def verify(self, token: str) -> Principal:
        """Verify with running providers, one hour after their first fetch."""

        async def body() -> Principal:
            providers = [self._provider(issuer, *named) for issuer, named in self._issuers.items()]
            async with asyncio.TaskGroup() as tasks:
                running = [tasks.create_task(provider.run()) for provider in providers]
                await asyncio.sleep(0)
                self.fetches, self.now = 0, self.now + 3599
                try:
                    return await self._verifier(providers).verify(token)
                finally:
                    for task in running:
                        task.cancel()

        try:
            return asyncio.run(body())
        except* (InvalidToken, Overloaded) as group:
            raise group.exceptions[0] from None

    def _verifier(self, providers: list[Provider]) -> ProviderVerifier:
        return ProviderVerifier(
            providers=providers,
            algorithms=ALGORITHMS,
            claims=self._claims,
            shared_secrets=self._shared_secrets,
        )

    def unfetched(self) -> ProviderVerifier:
        """Return a verifier whose providers have no keys yet."""
        return self._verifier([self._provider(issuer, *named) for issuer, named in self._issuers.items()])

    def refused(self, token: str) -> InvalidToken:
        with pytest.raises(InvalidToken) as caught:
            self.verify(token)
        return caught.value

    def refused_unfetched(self, token: str) -> str:
        """Return the internal reason of a refusal that says nothing to the client, and causes no fetch."""
        error = self.refused(token)
        assert str(error) == ""
        assert self.fetches == 0
        return error.internal_reason


def b64(value: Any) -> str:
    data = value if isinstance(value, bytes) else (value if isinstance(value, str) else json.dumps(value)).encode()
    return base64.urlsafe_b64encode(data).decode().rstrip("=")


def with_header(header: Any, token: str | None = None) -> str:
    """Return a token whose header is replaced."""
    _, payload, signature = (token or RSA.sign()).split(".")
    return f"{b64(header)}.{payload}.{signature}"
