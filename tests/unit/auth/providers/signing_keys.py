"""Key pairs of a provider: the public part as a JWK, and tokens signed with the private part."""

from __future__ import annotations

import functools
import time
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

ISSUER = "https://login.example.com"

CURVES = {"ES256": ec.SECP256R1, "ES384": ec.SECP384R1, "ES512": ec.SECP521R1}


class SigningKey:
    """A key pair that signs with one algorithm."""

    def __init__(self, kid: str | None = "1", *, algorithm: str = "RS256", number: int = 0, bits: int = 2048) -> None:
        """``number`` tells keys of the same kind apart. The same number is the same key."""
        self.kid = kid
        self.algorithm = algorithm
        self._private = _private(algorithm, number, bits)

    @property
    def jwk(self) -> dict[str, Any]:
        """The public key, with kid, use and alg."""
        names = {"kid": self.kid, "use": "sig", "alg": self.algorithm}
        return {**self.bare_jwk, **{name: value for name, value in names.items() if value is not None}}

    @property
    def bare_jwk(self) -> dict[str, Any]:
        """The public key alone."""
        found = jwt.get_algorithm_by_name(self.algorithm).to_jwk(self._private.public_key(), as_dict=True)
        return {name: value for name, value in found.items() if name != "key_ops"}

    @property
    def private_jwk(self) -> dict[str, Any]:
        """The private key."""
        found = jwt.get_algorithm_by_name(self.algorithm).to_jwk(self._private, as_dict=True)
        return {name: value for name, value in found.items() if name != "key_ops"}

    def sign(self, *, headers: dict[str, Any] | None = None, **claims: Any) -> str:
        """Return a token for user 42. A claim or header that is None is left out."""
        given = {"iss": ISSUER, "aud": "push", "sub": "42", "exp": int(time.time()) + 86_400, **claims}
        return jwt.encode(
            {name: value for name, value in given.items() if value is not None},
            self._private,
            self.algorithm,
            headers={**({} if self.kid is None else {"kid": self.kid}), **(headers or {})},
        )


@functools.cache
def _private(algorithm: str, number: int, bits: int) -> Any:
    if algorithm == "EdDSA":
        return ed25519.Ed25519PrivateKey.generate()
    if algorithm in CURVES:
        return ec.generate_private_key(CURVES[algorithm]())
    # Tests do not need an unpredictable key, but a real one of this size.
    return rsa.generate_private_key(public_exponent=65537, key_size=bits)
