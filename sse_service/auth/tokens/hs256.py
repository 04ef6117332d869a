"""Verify tokens that an application's back end signs with a shared secret (HS256)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sse_service.auth.tokens.claims import ClaimsReader
from sse_service.auth.tokens.shared_secrets import hs256_key
from sse_service.auth.tokens.verifier import credential, fingerprint, verified_claims

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sse_service.model.principal import Principal


class HS256Verifier:
    """Implements ``TokenVerifier`` with shared secrets."""

    def __init__(
        self, *, secrets: Sequence[str], claims: ClaimsReader | None = None, issuer: str | None = None
    ) -> None:
        """Accept tokens signed with any of the secrets, so that a secret can be replaced while its tokens are in use.

        Raises ValueError if there is no secret, or one that ``check_secret`` refuses.
        """
        if not secrets:
            raise ValueError("a secret is needed")
        self._keys = [hs256_key(secret) for secret in secrets]
        self._claims = claims or ClaimsReader()
        self._issuer = issuer

    async def verify(self, token: str) -> Principal:
        """Implement ``TokenVerifier``."""
        claims = verified_claims(token, self._keys, issuer=self._issuer, issuer_setting="SSE_JWT_ISSUER")
        return self._claims.principal(claims, credential(token), fingerprint(token))
