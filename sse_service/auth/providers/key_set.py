"""Turn a provider's JWK set (RFC 7517) into keys to verify with. What is not safe to use is skipped."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import jwt
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey

from sse_service.auth.tokens.unverified import MAX_KID_LENGTH

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

MAX_KEYS = 100
"""Limit of keys in a set. Providers have two to ten."""

MAX_SAME_KID = 4
"""Limit of keys that share a kid and an algorithm. Each costs one verification of a bad signature."""

RSA_BITS = range(2048, 8193)
"""RFC 7518 section 3.3 asks for at least 2048 bits. A verification takes time by the square of the size."""

_MAX_LENGTHS = {"n": 1400, "e": 6}
"""Limits of an RSA key's parts in base64: 8192 bits, and 32 bits. The longer ``e``, the longer a verification."""

_RSA = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512")
_ALGORITHMS: Mapping[tuple[object, object], tuple[str, ...]] = {
    ("EC", "P-256"): ("ES256",),
    ("EC", "P-384"): ("ES384",),
    ("EC", "P-521"): ("ES512",),
    ("OKP", "Ed25519"): ("EdDSA",),
}


@dataclass(frozen=True, slots=True)
class KeySet:
    """The usable keys of one issuer. Each is bound to one algorithm."""

    _by_kid: Mapping[str, Mapping[str, tuple[jwt.PyJWK, ...]]]
    """kid -> algorithm -> keys."""
    _by_algorithm: Mapping[str, tuple[jwt.PyJWK, ...]]
    count: int
    """How many usable keys the document has."""

    def find(self, kid: str, algorithm: str) -> tuple[jwt.PyJWK, ...] | None:
        """Return the keys with this kid that are for this algorithm; None if no key has this kid."""
        found = self._by_kid.get(kid)
        return None if found is None else found.get(algorithm, ())

    def for_algorithm(self, algorithm: str) -> tuple[jwt.PyJWK, ...]:
        """Return all keys for this algorithm."""
        return self._by_algorithm.get(algorithm, ())

    @property
    def kids(self) -> frozenset[str]:
        """The ids of the keys."""
        return frozenset(self._by_kid)


def read_keys(document: Mapping[str, Any], *, algorithms: Collection[str]) -> KeySet:
    """Return the keys of a JWK set that may be used with these algorithms.

    Raises ValueError, with a short text, for a document that is no JWK set, or has too many keys, or no usable key.
    """
    given = document.get("keys")
    if not isinstance(given, list):
        raise ValueError("it is not a JWK set: it has no list of keys")
    if len(given) > MAX_KEYS:
        raise ValueError(f"the JWK set has more than {MAX_KEYS} keys")
    by_kid: dict[str, dict[str, tuple[jwt.PyJWK, ...]]] = {}
    by_algorithm: dict[str, tuple[jwt.PyJWK, ...]] = {}
    count = 0
    for jwk in given:
        keys = _keys(jwk, algorithms)
        count += bool(keys)
        for key in keys:
            name = key.algorithm_name
            by_algorithm[name] = (*by_algorithm.get(name, ()), key)
            if (kid := jwk.get("kid")) is not None:
                same = by_kid.setdefault(kid, {})
                same[name] = (*same.get(name, ()), key)[:MAX_SAME_KID]
    if not count:
        raise ValueError(f"the JWK set has no key that can be used with {', '.join(algorithms)} (SSE_JWT_ALGORITHMS)")
    return KeySet(by_kid, by_algorithm, count)


def _keys(jwk: Any, algorithms: Collection[str]) -> list[jwt.PyJWK]:
    """Return the key once for each algorithm that it may be used with. Empty if it must not be used."""
    if not isinstance(jwk, dict):
        return []
    usable = [name for name in _fitting(jwk) if name in algorithms and jwk.get("alg", name) == name]
    if not usable or not _may_verify(jwk):
        return []
    try:
        keys = [jwt.PyJWK(jwk, name) for name in usable]
    # PyJWT raises KeyError, TypeError and others for some malformed keys, beside its own exceptions.
    except Exception:
        return []
    key = keys[0].key
    return [] if isinstance(key, RSAPublicKey) and key.key_size not in RSA_BITS else keys


def _fitting(jwk: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the algorithms that a key of this type and curve can be used with."""
    kind, curve = jwk.get("kty"), jwk.get("crv")
    if kind == "RSA":
        parts = ((jwk.get(name), longest) for name, longest in _MAX_LENGTHS.items())
        return _RSA if all(isinstance(part, str) and len(part) <= longest for part, longest in parts) else ()
    return _ALGORITHMS.get((kind, curve), ()) if isinstance(kind, str) and isinstance(curve, str) else ()


def _may_verify(jwk: Mapping[str, Any]) -> bool:
    """Whether the key says that it is for verifying (RFC 7517 section 4.2 and 4.3), and is not a private one."""
    kid, operations = jwk.get("kid"), jwk.get("key_ops")
    return (
        (kid is None or (isinstance(kid, str) and len(kid) <= MAX_KID_LENGTH))
        and jwk.get("use", "sig") == "sig"
        and (operations is None or (isinstance(operations, list) and "verify" in operations))
        and "d" not in jwk
    )
