"""The shared secrets of ``SSE_JWT_SECRET``, and the HS256 keys made from them."""

from __future__ import annotations

import jwt
from jwt.utils import base64url_encode

MIN_SECRET_BYTES = 32
"""RFC 7518 section 3.2: a key must be at least as long as the hash."""


def check_secret(secret: str) -> None:
    """Raise ValueError for a secret that is too short, or public. The error's text does not contain the secret."""
    if len(secret.encode()) < MIN_SECRET_BYTES:
        raise ValueError(f"every secret must have at least {MIN_SECRET_BYTES} bytes (RFC 7518 section 3.2)")
    try:
        jwt.get_algorithm_by_name("HS256").prepare_key(secret)
    except jwt.InvalidKeyError:
        raise ValueError("a secret must not be a certificate or a public key") from None


def hs256_key(secret: str) -> jwt.PyJWK:
    """Make the key of a secret. With the text alone, PyJWT would check for every token whether it is a public key.

    Raises ValueError as ``check_secret`` does.
    """
    check_secret(secret)
    return jwt.PyJWK({"kty": "oct", "k": base64url_encode(secret.encode()).decode()}, "HS256")
