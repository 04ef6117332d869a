"""The signing keys of an OpenID provider."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import jwt
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from jwt.algorithms import ECAlgorithm, RSAAlgorithm

PrivateKey = rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey


@dataclass(frozen=True, slots=True)
class SigningKey:
    """A private key with its id and its algorithm."""

    kid: str
    algorithm: str
    private: PrivateKey

    @classmethod
    def generate(
        cls, algorithm: str = "RS256", *, kid: str = "", bits: int = 2048, curve: ec.EllipticCurve | None = None
    ) -> SigningKey:
        private: PrivateKey
        if algorithm.startswith("ES"):
            private = ec.generate_private_key(curve or ec.SECP256R1())
        else:
            private = rsa.generate_private_key(65537, bits)
        return cls(kid or uuid.uuid4().hex, algorithm, private)

    @property
    def jwk(self) -> dict[str, Any]:
        """The public key as an entry of a JWK set."""
        return {**self._jwk(self.private.public_key()), "kid": self.kid, "use": "sig", "alg": self.algorithm}

    @property
    def private_jwk(self) -> dict[str, Any]:
        """The entry of a provider that publishes its private key by mistake."""
        return {**self.jwk, **self._jwk(self.private), "key_ops": ["verify"]}

    def _jwk(self, key: Any) -> dict[str, Any]:
        kind = ECAlgorithm if isinstance(self.private, ec.EllipticCurvePrivateKey) else RSAAlgorithm
        return kind.to_jwk(key, as_dict=True)

    def sign(self, signed: bytes) -> bytes:
        """Return the signature of a token's first two parts."""
        signature: bytes = jwt.get_algorithm_by_name(self.algorithm).sign(signed, self.private)
        return signature

    def public_bytes(self, encoding: serialization.Encoding) -> bytes:
        return self.private.public_key().public_bytes(encoding, serialization.PublicFormat.SubjectPublicKeyInfo)

    def to_file(self) -> dict[str, str]:
        pem = self.private.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        return {"kid": self.kid, "algorithm": self.algorithm, "pem": pem.decode()}

    @classmethod
    def from_file(cls, entry: Mapping[str, str]) -> SigningKey:
        private = serialization.load_pem_private_key(entry["pem"].encode(), None)
        assert isinstance(private, rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey)
        return cls(entry["kid"], entry["algorithm"], private)
