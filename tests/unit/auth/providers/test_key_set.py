"""Which keys of a JWK set are used. What is not safe is skipped, and the keys beside it are used."""

from __future__ import annotations

import json
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from hypothesis import given
from hypothesis import strategies as st
from jwt.utils import from_base64url_uint, to_base64url_uint

from sse_service.auth.providers.key_set import MAX_KEYS, MAX_SAME_KID, KeySet, read_keys
from tests.unit.auth.providers.signing_keys import SigningKey

ALL = ["RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA"]
RSA = SigningKey("rsa")
EC = SigningKey("ec", algorithm="ES256")
GOOD = SigningKey("good", number=1)


def usable(*jwks: Any, algorithms: list[str] | None = None) -> KeySet:
    """Read a set with one more key, which is good."""
    return read_keys({"keys": [*jwks, GOOD.jwk]}, algorithms=algorithms or ALL)


@pytest.mark.parametrize("algorithm", ALL)
def test_a_key_serves_the_algorithm_that_it_names_and_no_other(algorithm: str) -> None:
    keys = usable(SigningKey("x", algorithm=algorithm).jwk)
    assert [name for name in ALL if keys.find("x", name)] == [algorithm]


def test_an_rsa_key_without_alg_serves_every_allowed_rsa_algorithm() -> None:
    keys = usable({**RSA.bare_jwk, "kid": "x"}, algorithms=["RS256", "PS512", "ES256"])
    assert [name for name in ALL if keys.find("x", name)] == ["RS256", "PS512"]


@pytest.mark.parametrize(("algorithm", "size"), [("ES256", 256), ("ES384", 384), ("ES512", 521)])
def test_an_ec_key_without_alg_serves_the_algorithm_of_its_curve(algorithm: str, size: int) -> None:
    keys = usable({**SigningKey(algorithm=algorithm).bare_jwk, "kid": "x"})
    assert [name for name in ALL if keys.find("x", name)] == [algorithm]
    (key,) = keys.find("x", algorithm) or ()
    assert key.key.key_size == size


def test_an_algorithm_that_the_settings_do_not_allow_is_not_used() -> None:
    keys = usable(EC.jwk, SigningKey("ps", algorithm="PS256").jwk, algorithms=["RS256"])
    assert keys.kids == {"good"}


def changed(key: SigningKey, **fields: Any) -> dict[str, Any]:
    return {name: value for name, value in {**key.jwk, "kid": "bad", **fields}.items() if value != "absent"}


HALF = to_base64url_uint(from_base64url_uint(RSA.jwk["n"]) >> 1 | 1).decode()

GARBAGE: dict[str, Any] = {
    "a secret": {"kty": "oct", "k": "c2VjcmV0" * 8, "kid": "bad", "alg": "HS256"},
    "a secret that says RS256": {"kty": "oct", "k": "c2VjcmV0" * 8, "kid": "bad", "alg": "RS256"},
    "a private RSA key": {**RSA.private_jwk, "kid": "bad"},
    "a private EC key": {**EC.private_jwk, "kid": "bad"},
    "a d of any form": changed(RSA, d=None),
    "RSA of 1024 bits": changed(SigningKey(bits=1024)),
    "RSA of 2047 bits": changed(RSA, n=HALF),
    "RSA of 16384 bits": changed(RSA, n="v" * 2731),
    "RSA with an exponent of 1": changed(RSA, e="AQ"),
    "RSA with an even exponent": changed(RSA, e="AA"),
    "RSA with a huge exponent": changed(RSA, e="v" * 300),
    "RSA with an exponent of 33 bits": changed(RSA, e=to_base64url_uint(2**32 + 1).decode()),
    "RSA without n": changed(RSA, n="absent"),
    "RSA with a number for n": changed(RSA, n=7),
    "RSA with a list for e": changed(RSA, e=["AQAB"]),
    "RSA that says ES256": changed(RSA, alg="ES256"),
    "RSA that says HS256": changed(RSA, alg="HS256"),
    "RSA that says none": changed(RSA, alg="none"),
    "RSA that says nothing": changed(RSA, alg=None),
    "a curve that does not fit alg": changed(EC, alg="ES384"),
    "secp256k1": changed(EC, crv="secp256k1", alg="absent"),
    "a point that is not on the curve": changed(EC, y=EC.jwk["x"]),
    "coordinates of another curve": changed(EC, crv="P-384", alg="absent"),
    "a coordinate that is short": changed(EC, x=EC.jwk["x"][:-2]),
    "a list for the curve": changed(EC, crv=["P-256"]),
    "Ed448": {"kty": "OKP", "crv": "Ed448", "x": "v" * 76, "kid": "bad"},
    "X25519": {"kty": "OKP", "crv": "X25519", "x": "v" * 43, "kid": "bad"},
    "Ed25519 of 31 bytes": {"kty": "OKP", "crv": "Ed25519", "x": "v" * 42, "kid": "bad"},
    "for encryption": changed(RSA, use="enc"),
    "use of another type": changed(RSA, use=["sig"]),
    "for signing only": changed(RSA, key_ops=["sign"]),
    "key_ops of another type": changed(RSA, key_ops="verify"),
    "a kid that is a number": changed(RSA, kid=1),
    "a kid that is a list": changed(RSA, kid=["bad"]),
    "a kid of 257 characters": changed(RSA, kid="k" * 257),
    "an unknown kty": {"kty": "XYZ", "kid": "bad"},
    "a list for kty": changed(RSA, kty=["RSA"]),
    "no kty": {"kid": "bad"},
    "null": None,
    "a number": 7,
    "a list": [[]],
    "a text": "RSA",
}


def test_an_rsa_key_may_have_an_exponent_of_32_bits() -> None:
    keys = usable({**RSA.jwk, "kid": "x", "e": to_base64url_uint(2**32 - 1).decode()})
    assert keys.kids == {"good", "x"}


@pytest.mark.parametrize("name", GARBAGE)
def test_a_key_that_is_not_safe_is_skipped_and_the_good_one_beside_it_is_used(name: str) -> None:
    keys = usable(GARBAGE[name])
    assert keys.kids == {"good"}
    assert keys.count == 1
    assert [key.key_id for algorithm in ALL for key in keys.for_algorithm(algorithm)] == ["good"]


@given(st.recursive(st.none() | st.booleans() | st.integers() | st.text(), lambda x: st.lists(x), max_leaves=5))
def test_no_field_of_a_key_can_stop_the_others(value: Any) -> None:
    for key in (RSA, EC):
        for field in key.jwk:
            assert "good" in usable({**key.jwk, field: value}).kids


def test_a_key_may_have_key_ops_and_parts_that_are_not_used() -> None:
    keys = usable({**RSA.jwk, "key_ops": ["verify"], "x5c": ["MII"], "x5u": "https://evil.example", "x5t": 7})
    assert keys.find("rsa", "RS256")


def test_a_kid_may_have_256_characters() -> None:
    assert usable({**RSA.jwk, "kid": "k" * 256}).find("k" * 256, "RS256")


def test_keys_that_share_a_kid_are_all_tried_up_to_a_limit() -> None:
    jwks = [SigningKey("same", number=number).jwk for number in range(3)]
    assert len(usable(*jwks).find("same", "RS256") or ()) == 3
    assert len(usable(*jwks * 3).find("same", "RS256") or ()) == MAX_SAME_KID


def test_keys_without_kid_are_found_by_their_algorithm_alone() -> None:
    keys = usable({**EC.bare_jwk})
    assert keys.kids == {"good"}
    assert len(keys.for_algorithm("ES256")) == 1
    assert keys.for_algorithm("ES384") == ()


def test_a_kid_that_is_known_for_another_algorithm_is_told_from_an_unknown_one() -> None:
    keys = usable(EC.jwk)
    assert keys.find("ec", "RS256") == ()
    assert keys.find("other", "RS256") is None


def test_a_set_with_too_many_keys_is_refused_as_a_whole() -> None:
    assert read_keys({"keys": [GOOD.jwk] * MAX_KEYS}, algorithms=ALL).count == MAX_KEYS
    for number in (MAX_KEYS + 1, 10_000):
        with pytest.raises(ValueError, match="more than 100 keys"):
            read_keys({"keys": [GOOD.jwk] * number}, algorithms=ALL)


@pytest.mark.parametrize("document", [{}, {"keys": None}, {"keys": {}}, {"keys": "x"}, GOOD.jwk])
def test_a_document_without_a_list_of_keys_is_refused(document: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="not a JWK set"):
        read_keys(document, algorithms=ALL)


@pytest.mark.parametrize("jwks", [[], [GARBAGE["for encryption"]], [EC.jwk]])
def test_a_set_without_a_usable_key_is_refused_with_the_setting_to_look_at(jwks: list[Any]) -> None:
    with pytest.raises(ValueError, match=r"RS256.*SSE_JWT_ALGORITHMS"):
        read_keys({"keys": jwks}, algorithms=["RS256"])


def test_no_key_is_read_again_when_a_token_is_verified() -> None:
    keys = usable(RSA.jwk)
    assert keys.find("rsa", "RS256") is keys.find("rsa", "RS256")
    (key,) = keys.find("rsa", "RS256") or ()
    assert isinstance(key, jwt.PyJWK)
    assert key.algorithm_name == "RS256"


def test_an_ec_key_of_another_curve_cannot_be_given_an_algorithm_by_its_kid() -> None:
    other = json.loads(jwt.algorithms.ECAlgorithm.to_jwk(ec.generate_private_key(ec.SECP384R1()).public_key()))
    assert usable({**other, "kid": "x", "alg": "ES256"}).find("x", "ES256") is None
