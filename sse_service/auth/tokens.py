"""Verify tokens: the contract, and its implementation for HS256 tokens."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Protocol

import jwt
from jwt.exceptions import InvalidJTIError

from sse_service.auth.claims import ClaimsReader
from sse_service.auth.shared_secrets import hs256_key
from sse_service.model.errors import InvalidToken

if TYPE_CHECKING:
    from sse_service.model.principal import Principal


class TokenVerifier(Protocol):
    """Decides whether a token is valid, and whose it is."""

    async def verify(self, token: str) -> Principal:
        """Return the token's user.

        Raises InvalidToken for a token that is not valid, and Forbidden for a valid one with too many groups. The text
        names a claim only if the signature is good, so that an attacker learns nothing about the claims.
        """
        ...


class _PayloadError(jwt.DecodeError):
    """The signature is good, and the payload is not a JSON object."""


class _Decoder(jwt.PyJWT):
    def _decode_payload(self, decoded: dict[str, Any]) -> dict[str, Any]:
        """Override PyJWT's hook. It is called only for a good signature."""
        try:
            return super()._decode_payload(decoded)
        except jwt.DecodeError as error:
            raise _PayloadError from error


class HS256Verifier:
    """Implements ``TokenVerifier`` with shared secrets. PyJWT checks every token."""

    def __init__(
        self,
        *,
        secrets: Sequence[str],
        issuer: str | None = None,
        audience: str | None = None,
        user_claim: str = "sub",
        groups_claim: str = "groups",
    ) -> None:
        """Accept tokens signed with any of the secrets, so that a secret can be replaced while its tokens are in use.

        Raises ValueError if there is no secret, or one that ``check_secret`` refuses.
        """
        if not secrets:
            raise ValueError("a secret is needed")
        self._keys = [hs256_key(secret) for secret in secrets]
        self._decoder = _Decoder()
        self._issuer = issuer
        self._audience = audience
        self._claims = ClaimsReader(user_claim=user_claim, groups_claim=groups_claim)

    async def verify(self, token: str) -> Principal:
        """Implement ``TokenVerifier``."""
        return self._claims.principal(self._verified_claims(token))

    def _verified_claims(self, token: str) -> dict[str, Any]:
        for key in self._keys:
            try:
                # The service chooses the algorithm, never the token: this rules out "none" and key confusion
                # (RFC 8725 section 3.1). ClaimsReader checks exp and nbf: PyJWT has one leeway for both.
                return self._decoder.decode(
                    token,
                    key,
                    algorithms=["HS256"],
                    issuer=self._issuer,
                    audience=self._audience,
                    options={
                        "require": ["exp"],
                        "verify_exp": False,
                        "verify_nbf": False,
                        "verify_sub": False,
                        "verify_iat": False,
                    },
                )
            except jwt.InvalidSignatureError:
                continue
            except (jwt.InvalidTokenError, ValueError) as error:
                raise InvalidToken(self._reason(error)) from None
        raise InvalidToken

    def _reason(self, error: Exception) -> str:
        """Name the invalid claim. Empty if the signature is bad: PyJWT checks claims only after the signature."""
        if isinstance(error, _PayloadError):
            return "the token's payload is not a JSON object"
        if isinstance(error, jwt.MissingRequiredClaimError):
            return f"the token has no {error.claim} claim"
        if isinstance(error, jwt.InvalidIssuerError):
            return "the token's iss claim is not the issuer that SSE_JWT_ISSUER names"
        if isinstance(error, jwt.InvalidAudienceError):
            if self._audience is None:
                return "the token has an aud claim, and SSE_JWT_AUDIENCE is not set: set it to the token's audience"
            return "the token's aud claim does not contain the audience that SSE_JWT_AUDIENCE names"
        if isinstance(error, InvalidJTIError):
            return "the token's jti claim must be a string"
        return ""
