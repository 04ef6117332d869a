"""Verify access tokens of identity providers, beside those that an application's back end signs (HS256)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sse_service.auth.tokens.unverified import Header, read_header, read_issuer
from sse_service.auth.tokens.verifier import credential, fingerprint, verified_claims
from sse_service.model.errors import InvalidClaim, InvalidToken

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from sse_service.auth.providers.provider import Provider
    from sse_service.auth.tokens.claims import ClaimsReader
    from sse_service.auth.tokens.verifier import TokenVerifier
    from sse_service.model.principal import Principal


class ProviderVerifier:
    """Implements ``TokenVerifier`` with the keys of several providers.

    The token's issuer chooses the provider, and only that provider's keys are tried, each with its own algorithm. With
    a kid alone, a provider could sign for another one by publishing a key with the same kid (CVE-2026-49998).
    """

    def __init__(
        self,
        *,
        providers: Sequence[Provider],
        algorithms: Collection[str],
        claims: ClaimsReader,
        shared_secrets: TokenVerifier | None = None,
    ) -> None:
        """``shared_secrets`` verifies HS256 tokens. Without it they are refused."""
        self._providers = {provider.issuer: provider for provider in providers}
        self._algorithms = frozenset(algorithms)
        self._claims = claims
        self._shared_secrets = shared_secrets

    async def verify(self, token: str) -> Principal:
        """Implement ``TokenVerifier``."""
        header = read_header(token)
        if header.algorithm == "HS256":
            if self._shared_secrets is None:
                raise InvalidToken(internal_reason="the token is signed with HS256, and SSE_JWT_SECRET is not set")
            return await self._shared_secrets.verify(token)
        if header.algorithm not in self._algorithms:
            raise InvalidToken(internal_reason="the token's alg is not in SSE_JWT_ALGORITHMS")
        if not header.is_access_token:
            raise InvalidToken(internal_reason="the typ of the token's header is not that of an access token")
        return self._claims.principal(await self._verified(token, header), credential(token), fingerprint(token))

    async def _verified(self, token: str, header: Header) -> dict[str, Any]:
        issuer = read_issuer(token)
        provider = self._providers.get(issuer)
        if provider is None:
            raise self._unknown_issuer(token, header, issuer)
        keys = await provider.find(header.kid, header.algorithm)
        return verified_claims(token, keys, issuer=provider.issuer, issuer_setting=provider.issuer_setting)

    def _unknown_issuer(self, token: str, header: Header, issuer: str) -> InvalidToken:
        """Return the refusal of a token whose issuer is not configured. Nothing is fetched for it.

        If a provider's key has signed it, the client is told which claim is wrong.
        """
        for provider in self._providers.values():
            found = provider.keys and header.kid and provider.keys.find(header.kid, header.algorithm)
            try:
                verified_claims(token, found or (), issuer=provider.issuer, issuer_setting=provider.issuer_setting)
            except InvalidClaim as error:
                return error
            except InvalidToken:
                continue
        settings = " or ".join(sorted({provider.issuer_setting for provider in self._providers.values()}))
        return InvalidToken(internal_reason=f"the token's iss claim, {issuer[:200]!r}, is not in {settings}")
