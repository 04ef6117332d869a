"""Verify tokens: the contract of a verifier, and the check of a signature that all verifiers share."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any, Protocol

import jwt
from jwt.exceptions import InvalidJTIError

from sse_service.model.errors import InvalidClaim, InvalidToken

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sse_service.model.principal import Principal

CREDENTIAL_BYTES = 16
"""Size of the digest that identifies a token. Nobody finds a second token with the same 128 bits."""


class TokenVerifier(Protocol):
    """Decides whether a token is valid, and whose it is."""

    async def verify(self, token: str) -> Principal:
        """Return the token's user.

        Raises InvalidToken for a token that is not valid, and Forbidden for a valid one with too many groups. Only
        InvalidClaim, which means that the signature is good, has a text for the client, so that an attacker learns
        nothing about the claims. Raises Overloaded if the token cannot be judged now, because the keys of its issuer
        are unavailable.
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


_DECODER = _Decoder()


def verified_claims(
    token: str, keys: Sequence[jwt.PyJWK], *, issuer: str | None, issuer_setting: str
) -> dict[str, Any]:
    """Return the claims of a token that one of the keys has signed.

    ``iss`` must be ``issuer``, unless that is None. ``issuer_setting`` is the setting that names the issuer.
    ClaimsReader checks the times, the audience and the user. Raises InvalidToken.
    """
    _, claims = verified_parts(token, keys, issuer=issuer, issuer_setting=issuer_setting, required=("exp",))
    return claims


def verified_parts(
    token: str,
    keys: Sequence[jwt.PyJWK],
    *,
    issuer: str | None = None,
    issuer_setting: str = "",
    required: Sequence[str] = (),
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the header and the claims of a token that one of the keys has signed. PyJWT checks every token.

    Each key is used with its own algorithm, and never with the one that the token names: this rules out ``none`` and
    key confusion (RFC 8725 section 3.1). ``required`` are claims that must be there. Raises InvalidToken.
    """
    for key in keys:
        try:
            parts = _DECODER.decode_complete(
                token,
                key,
                algorithms=[key.algorithm_name],
                issuer=issuer,
                # PyJWT has one leeway for exp and nbf, and does not know ``client_id``.
                options={
                    "require": list(required),
                    "verify_exp": False,
                    "verify_nbf": False,
                    "verify_aud": False,
                    "verify_sub": False,
                    "verify_iat": False,
                },
            )
        except jwt.InvalidSignatureError:
            continue
        except (jwt.InvalidTokenError, ValueError) as error:
            raise _refusal(error, issuer_setting) from None
        else:
            return parts["header"], parts["payload"]
    raise InvalidToken(internal_reason="the signature is not valid: the token was signed with another key")


def fingerprint(token: str) -> bytes:
    """Return the digest of a whole token (see ``Principal.fingerprint``)."""
    return hashlib.blake2b(token.encode(), digest_size=CREDENTIAL_BYTES).digest()


def credential(token: str) -> bytes:
    """Return the digest that identifies a token.

    It is made from the part that is signed. The signature may have several valid forms: an ECDSA signature can be
    changed into a second valid one, and base64 may be padded.
    """
    signed, _, _ = token.rpartition(".")
    return hashlib.blake2b(signed.encode(), digest_size=CREDENTIAL_BYTES).digest()


def _refusal(error: Exception, issuer_setting: str) -> InvalidToken:
    """Turn an error of PyJWT into ours. PyJWT checks claims only after the signature."""
    match error:
        case _PayloadError():
            return InvalidClaim("the token's payload is not a JSON object")
        case jwt.MissingRequiredClaimError():
            return InvalidClaim(f"the token has no {error.claim} claim")
        case jwt.InvalidIssuerError():
            return InvalidClaim(f"the token's iss claim is not the issuer that {issuer_setting} names")
        case InvalidJTIError():
            return InvalidClaim("the token's jti claim must be a string")
        case jwt.InvalidAlgorithmError():
            return InvalidToken(internal_reason="the token's alg is not the algorithm of the key")
        case _:
            return InvalidToken(internal_reason="the token is malformed")
