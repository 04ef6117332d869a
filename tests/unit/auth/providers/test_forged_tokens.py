"""Attacks on tokens of identity providers. Each is refused, says nothing, and causes no fetch."""

from __future__ import annotations

import base64
import json
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature, encode_dss_signature

from sse_service.auth.providers.key_set import read_keys
from tests.unit.auth.providers.signing_keys import SigningKey
from tests.unit.auth.providers.verifier_setup import EC, ED, RSA, SAME_KID, SECRET, Setup, b64, with_header

# The header


def test_the_public_key_is_no_shared_secret() -> None:
    (public,) = read_keys({"keys": [RSA.jwk]}, algorithms=["RS256"]).for_algorithm("RS256")
    pem = public.key.public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    for secret in (pem, RSA.jwk["n"].encode(), json.dumps(RSA.jwk).encode()):
        signed = f"{b64({'alg': 'HS256', 'kid': 'rsa'})}.{RSA.sign().split('.')[1]}"
        digest = jwt.get_algorithm_by_name("HS256").sign(signed.encode(), secret)
        for setup in (Setup(), Setup(secrets=[SECRET])):
            setup.refused_unfetched(f"{signed}.{b64(digest)}")


@pytest.mark.parametrize("algorithm", ["none", "None", "NONE", "nOnE", "", "rs256", "RS384", "PS256", "HS512", "ES384"])
def test_an_algorithm_that_is_not_allowed_is_refused(algorithm: str) -> None:
    for token in (RSA.sign(), RSA.sign().rpartition(".")[0] + "."):
        assert "alg" in Setup().refused_unfetched(with_header({"alg": algorithm, "kid": "rsa"}, token))


@pytest.mark.parametrize(
    "header",
    [
        *("", "x", "[]", "null", '"RS256"', "{", '{"alg":"RS256"', '{"kid":"rsa"}', "[" * 8000),
        *({"alg": algorithm, "kid": "rsa"} for algorithm in (None, 7, ["RS256"], {"RS256": 1}, True)),
        *({"alg": "RS256", "kid": kid} for kid in (7, ["rsa"], {"rsa": 1}, True, "k" * 257, "k" * 10_000)),
        *({"alg": "RS256", "kid": "rsa", "typ": typ} for typ in (None, 7, ["JWT"], "id+jwt", "logout+jwt", "JWE", "")),
        {"alg": "RS256", "kid": "rsa", "x5c": ["x" * 10_000]},
    ],
)
def test_a_header_that_is_malformed_is_refused(header: Any) -> None:
    assert Setup().refused_unfetched(with_header(header))


@pytest.mark.parametrize(
    "headers",
    [
        {"jku": "https://evil.example/keys"},
        {"x5u": "https://evil.example/cert"},
        {"jwk": SAME_KID.jwk},
        {"x5c": ["MIIB"]},
        {"iss": "https://evil.example", "aud": "x"},
    ],
)
def test_keys_that_a_token_brings_along_are_not_used(headers: dict[str, Any]) -> None:
    assert "another key" in Setup().refused_unfetched(SAME_KID.sign(headers=headers))
    assert Setup().verify(RSA.sign(headers=headers)).user == "42"


@pytest.mark.parametrize("headers", [{"crit": ["exp"], "exp": 1}, {"crit": []}, {"crit": "exp"}])
def test_an_extension_that_must_be_understood_is_refused(headers: dict[str, Any]) -> None:
    Setup().refused_unfetched(RSA.sign(headers=headers))


@pytest.mark.parametrize(
    ("headers", "said"),
    [
        *(({"typ": typ}, "typ") for typ in ("id+jwt", "logout+jwt", "dpop+jwt", "JWE", "application/id+jwt")),
        ({"x5c": ["x" * 10_000]}, "longer than"),
        ({"kid": "k" * 257}, "kid"),
    ],
)
def test_a_header_that_is_not_that_of_an_access_token_is_refused_though_it_is_signed(
    headers: dict[str, Any], said: str
) -> None:
    assert said in Setup().refused_unfetched(RSA.sign(headers=headers))


def test_a_payload_that_is_not_encoded_is_refused() -> None:
    Setup().refused_unfetched(with_header({"alg": "RS256", "kid": "rsa", "b64": False, "crit": ["b64"]}))


@pytest.mark.parametrize("kid", ["../../etc/passwd", "https://evil.example/k", "' OR 1=1 --", "rsa\u0000", "", "RSA"])
def test_a_kid_is_nothing_but_a_name(kid: str) -> None:
    setup = Setup()
    assert str(setup.refused(SigningKey(kid).sign())) == ""
    assert setup.fetches == 1


def test_an_encrypted_token_is_refused() -> None:
    header = b64({"alg": "RSA-OAEP", "enc": "A256GCM", "kid": "rsa"})
    assert "JWE" in Setup().refused_unfetched(f"{header}.a.b.c.d")


@pytest.mark.parametrize(
    "token", ["", ".", "..", "a.b", "a.b.c", "a.b.c.d", "é.é.é", "\ud800..", "." * 4, "." * 100_000]
)
def test_what_is_no_token_is_refused(token: str) -> None:
    assert Setup().refused_unfetched(token)


@pytest.mark.parametrize("payload", ["", "[]", "{", "[" * 10_000, '{"a":' * 10_000, "\udcff", '{"iss":NaN}'])
def test_a_payload_that_is_no_object_is_refused(payload: str) -> None:
    token = f"{b64({'alg': 'RS256', 'kid': 'rsa'})}.{b64(payload.encode(errors='surrogateescape'))}.AAAA"
    assert Setup().refused_unfetched(token)


# The signature


def ec_signature(r: int, s: int) -> str:
    signed = EC.sign().rpartition(".")[0]
    return f"{signed}.{b64(r.to_bytes(32, 'big') + s.to_bytes(32, 'big'))}"


@pytest.mark.parametrize(("r", "s"), [(0, 0), (0, 1), (1, 0), (2**256 - 1, 1)])
def test_an_ec_signature_with_a_zero_is_refused(r: int, s: int) -> None:
    Setup().refused_unfetched(ec_signature(r, s))


def test_the_second_form_of_an_ec_signature_is_the_same_credential() -> None:
    token = EC.sign()
    signed, _, signature = token.rpartition(".")
    raw = base64.urlsafe_b64decode(signature + "==")
    order = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
    r, s = int.from_bytes(raw[:32], "big"), int.from_bytes(raw[32:], "big")
    other = f"{signed}.{b64(r.to_bytes(32, 'big') + (order - s).to_bytes(32, 'big'))}"
    assert other != token
    assert Setup().verify(other).credential == Setup().verify(token).credential


def test_an_ec_signature_in_the_form_of_certificates_is_refused() -> None:
    signed, _, signature = EC.sign().rpartition(".")
    raw = base64.urlsafe_b64decode(signature + "==")
    der = encode_dss_signature(int.from_bytes(raw[:32], "big"), int.from_bytes(raw[32:], "big"))
    assert decode_dss_signature(der)
    Setup().refused_unfetched(f"{signed}.{b64(der)}")


@pytest.mark.parametrize("key", [RSA, EC, ED], ids=lambda key: key.algorithm)
def test_a_signature_that_is_changed_is_refused(key: SigningKey) -> None:
    signed, _, signature = key.sign().rpartition(".")
    raw = base64.urlsafe_b64decode(signature + "==")
    for changed in (raw[:-1], raw + b"\0", b"\0" + raw, raw[:-1] + bytes([raw[-1] ^ 1]), b"", bytes(len(raw))):
        Setup().refused_unfetched(f"{signed}.{b64(changed)}")
