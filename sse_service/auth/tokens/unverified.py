"""Read parts of a token whose signature is not verified yet, only to choose the key. Nothing else may rely on them."""

from __future__ import annotations

from base64 import urlsafe_b64decode
from dataclasses import dataclass

import orjson

from sse_service.model.errors import InvalidToken

MAX_HEADER_LENGTH = 8192
"""Limit of the header's segment. Some providers put certificates into it (``x5c``), which are ignored."""

MAX_KID_LENGTH = 256

_TYPES = ("jwt", "at+jwt")


@dataclass(frozen=True, slots=True)
class Header:
    """What a token's header says about its signature. ``jku``, ``jwk``, ``x5u`` and ``x5c`` are never used."""

    algorithm: str
    kid: str | None
    type: str
    """In lower case and without ``application/``; ``jwt`` if the header has none."""

    @property
    def is_access_token(self) -> bool:
        """Whether the type is absent, or says JWT or access token (RFC 8725 section 3.11, RFC 9068)."""
        return self.type in _TYPES


def read_header(token: str) -> Header:
    """Read the header. Raises InvalidToken for what cannot be a signed token."""
    parts = token.split(".")
    if len(parts) == 5:
        raise InvalidToken(internal_reason="the token is encrypted (JWE): the service accepts signed tokens only")
    if len(parts) != 3:
        raise InvalidToken(internal_reason="the token is malformed: it must have three parts, separated by dots")
    if len(parts[0]) > MAX_HEADER_LENGTH:
        raise InvalidToken(internal_reason=f"the token's header is longer than {MAX_HEADER_LENGTH:,} characters")
    header = _object(parts[0])
    algorithm, kid, type_ = header.get("alg"), header.get("kid"), header.get("typ", "jwt")
    if not isinstance(algorithm, str) or not isinstance(type_, str):
        raise InvalidToken(internal_reason="the alg and typ of the token's header must be strings")
    if kid is not None and (not isinstance(kid, str) or len(kid) > MAX_KID_LENGTH):
        raise InvalidToken(
            internal_reason=f"the kid of the token's header must be a string of at most {MAX_KID_LENGTH} characters"
        )
    return Header(algorithm, kid, type_.lower().removeprefix("application/"))


def read_issuer(token: str) -> str:
    """Read the issuer that the token names. Raises InvalidToken if it names none."""
    issuer = _object(token.split(".")[1]).get("iss")
    if not isinstance(issuer, str):
        raise InvalidToken(internal_reason="the token has no iss claim, or it is not a string")
    return issuer


def _object(segment: str) -> dict[str, object]:
    try:
        found = orjson.loads(urlsafe_b64decode(segment + "=" * (-len(segment) % 4)))
    except ValueError:
        found = None
    if not isinstance(found, dict):
        raise InvalidToken(internal_reason="the token is malformed: its parts must be base64url of JSON objects")
    return found
