"""Sign tokens for the commands ``token``, ``dev`` and ``doctor``. In production an application's back end does this."""

from __future__ import annotations

import secrets
import time
from collections.abc import Sequence
from typing import Any

import jwt

from sse_service.auth.tokens.shared_secrets import hs256_key


class TokenSigner:
    """Signs HS256 tokens that ``HS256Verifier`` accepts."""

    def __init__(
        self,
        *,
        secret: str,
        issuer: str | None = None,
        audience: str | None = None,
        user_claim: str = "sub",
        groups_claim: str = "groups",
    ) -> None:
        """Raises ValueError for a secret that ``check_secret`` refuses."""
        self._key = hs256_key(secret)
        self._fixed = {name: value for name, value in (("iss", issuer), ("aud", audience)) if value is not None}
        self._user_claim = user_claim
        self._groups_claim = groups_claim

    def sign(self, user: str, *, groups: Sequence[str] = (), ttl_seconds: int = 3600) -> str:
        """Return a token for this user."""
        now = int(time.time())
        claims: dict[str, Any] = {
            self._user_claim: user,
            self._groups_claim: list(groups),
            "exp": now + ttl_seconds,
            # After a revocation, this tells the user's new tokens from the old ones.
            "iat": now,
            # Makes every token another one: a user who signs out and in within a second must not get the same again.
            "jti": secrets.token_hex(8),
            **self._fixed,
        }
        return jwt.encode(claims, self._key, algorithm="HS256")
