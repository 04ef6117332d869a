"""Signs and verifies HS256 tokens."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any, TypeGuard

import jwt
from jwt.utils import base64url_encode

from sse_service.auth.short_way import ShortWay
from sse_service.model.errors import Forbidden, InvalidToken
from sse_service.model.principal import Principal

MIN_SECRET_BYTES = 32
"""RFC 7518 §3.2: a key at least as long as the hash's output."""

MAX_GROUPS = 100
"""Groups of one token; each is a channel that the stream joins."""


class Tokens:
    """The first secret signs, all verify, so that a secret can be replaced while its tokens live on."""

    def __init__(
        self,
        *,
        secrets: Sequence[str],
        issuer: str | None = None,
        audience: str | None = None,
        user_claim: str = "sub",
        groups_claim: str = "groups",
    ) -> None:
        """Raises ValueError for no secret, a short one, or one that is a public key's text."""
        if not secrets:
            raise ValueError("a secret is needed")
        for secret in secrets:
            check_secret(secret)
        self._keys = tuple(map(_key, secrets))
        self._short_way = ShortWay(secrets=secrets, issuer=issuer, audience=audience)
        self._issuer = issuer
        self._audience = audience
        self._user_claim = user_claim
        self._groups_claim = groups_claim

    def sign(self, user: str, *, groups: Sequence[str] = (), ttl_seconds: int = 3600) -> str:
        """Make a token that ``verify`` takes."""
        claims: dict[str, Any] = {
            self._user_claim: user,
            self._groups_claim: list(groups),
            "exp": int(time.time()) + ttl_seconds,
        }
        if self._issuer is not None:
            claims["iss"] = self._issuer
        if self._audience is not None:
            claims["aud"] = self._audience
        return jwt.encode(claims, self._keys[0], algorithm="HS256")

    def verify(self, token: str) -> Principal:
        """Read a token.

        Raises InvalidToken for one that does not hold, without saying why to the caller's caller: an attacker
        learns nothing from it; and Forbidden for one that holds but names too many groups.
        """
        claims = self._short_way.claims(token) or self._claims(token)
        user, groups = claims.get(self._user_claim), claims.get(self._groups_claim) or []
        if isinstance(user, int) and not isinstance(user, bool):
            user = str(user)
        if not _is_name(user) or not isinstance(groups, list) or not all(map(_is_name, groups)):
            raise InvalidToken
        if len(groups) > MAX_GROUPS:
            raise Forbidden(f"a token may name at most {MAX_GROUPS} groups")
        return Principal(user, tuple(dict.fromkeys(groups)), int(claims["exp"]))

    def _claims(self, token: str) -> dict[str, Any]:
        for key in self._keys:
            try:
                # The algorithm is ours, never the token's: "none" and key confusion end here (RFC 8725 §3.1).
                return jwt.decode(
                    token,
                    key,
                    algorithms=["HS256"],
                    issuer=self._issuer,
                    audience=self._audience,
                    # ``iat`` says how old a token is, not whether it holds (RFC 7519 §4.1.6): a back end's clock may be
                    # a second ahead, and an EventSource gives up for good on a 401.
                    options={"require": ["exp"], "verify_sub": False, "verify_iat": False},
                )
            except jwt.InvalidSignatureError:
                continue
            except (jwt.InvalidTokenError, ValueError):
                break
        raise InvalidToken


def check_secret(secret: str) -> None:
    """Raises ValueError, without the secret, for one that is short, or that anybody may know."""
    if len(secret.encode()) < MIN_SECRET_BYTES:
        raise ValueError(f"every secret must have at least {MIN_SECRET_BYTES} bytes (RFC 7518 §3.2)")
    try:
        jwt.get_algorithm_by_name("HS256").prepare_key(secret)
    except jwt.InvalidKeyError:
        raise ValueError("a secret must not be a key of another kind, as a certificate or a public key is") from None


def _key(secret: str) -> jwt.PyJWK:
    """Make the key once: of a bare secret the library looks at each token whether it is a key of another kind."""
    return jwt.PyJWK({"kty": "oct", "k": base64url_encode(secret.encode()).decode()}, "HS256")


def _is_name(value: object) -> TypeGuard[str]:
    """Whether it is a text that can be told to a client: JSON may hold half of a surrogate pair, UTF-8 may not."""
    if not isinstance(value, str) or value == "":
        return False
    return value.isascii() or not any("\ud800" <= char <= "\udfff" for char in value)
