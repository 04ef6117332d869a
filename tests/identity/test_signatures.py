"""Attacks with signatures that were made from a good one, or that only a careless check accepts."""

from __future__ import annotations

import base64
import uuid

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature

from sse_service.auth.tokens.verifier import credential
from tests.identity.target import OPENED, SESSION, UNAUTHORIZED, Target
from tests.identity.test_forged_tokens import EC, RSA
from tests.identity.tokens import signature_of, with_signature

ORDER = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
"""The order of the curve P-256."""


def pair(signature: bytes) -> tuple[int, int]:
    return int.from_bytes(signature[:32]), int.from_bytes(signature[32:])


def raw(r: int, s: int) -> bytes:
    return r.to_bytes(32) + s.to_bytes(32)


FORGED = {
    "r and s are 0": lambda r, s: raw(0, 0),
    "r is 0": lambda r, s: raw(0, s),
    "s is 0": lambda r, s: raw(r, 0),
    "r is 0, s is 1": lambda r, s: raw(0, 1),
    "r and s are 1": lambda r, s: raw(1, 1),
    "r and s are n": lambda r, s: raw(ORDER, ORDER),
    "r is n": lambda r, s: raw(ORDER, s),
    "s is n": lambda r, s: raw(r, ORDER),
    "r and s swapped": lambda r, s: raw(s, r),
    "r negated": lambda r, s: raw(ORDER - r, s),
    "one byte short": lambda r, s: raw(r, s)[:-1],
    "one byte short at the beginning": lambda r, s: raw(r, s)[1:],
    "r alone": lambda r, s: raw(r, s)[:32],
    "a zero after it": lambda r, s: raw(r, s) + b"\0",
    "a zero before each": lambda r, s: b"\0" + r.to_bytes(32) + b"\0" + s.to_bytes(32),
    "twice": lambda r, s: raw(r, s) * 2,
    "DER": lambda r, s: encode_dss_signature(r, s),
    "nothing": lambda r, s: b"",
    "all ones": lambda r, s: b"\xff" * 64,
}


@pytest.mark.parametrize("how", FORGED)
def test_an_es256_signature_that_is_none(attacked: Target, how: str) -> None:
    good = attacked.provider.token("one", key=EC)
    assert attacked.answer_to(good) == OPENED
    assert attacked.answer_to(with_signature(good, FORGED[how](*pair(signature_of(good))))) == UNAUTHORIZED


def test_the_second_form_of_an_es256_signature_is_the_same_credential(attacked: Target) -> None:
    good = attacked.provider.token("one", key=EC)
    r, s = pair(signature_of(good))
    second = with_signature(good, raw(r, ORDER - s))
    assert second != good
    assert attacked.answer_to(second) == OPENED
    assert credential(second) == credential(good)
    # Everybody can make the second form of a token that they know. Signing out must end both.
    cookie = {"Cookie": f"{SESSION}={good}"}
    assert attacked.chain.client.delete(f"{attacked.chain.url}/session", headers=cookie).status_code == 204
    for text in (good, second):
        assert attacked.answer_to(text) == UNAUTHORIZED


def test_an_rsa_signature_that_was_changed(attacked: Target) -> None:
    key = attacked.provider.keys["one"][0].private
    assert isinstance(key, rsa.RSAPrivateKey)
    n = key.public_key().public_numbers().n
    good, number = "", 2**2048
    while number + n >= 2**2048:
        good = attacked.provider.token("one", jti=str(number % 10**9))
        number = int.from_bytes(signature_of(good))
    signature = signature_of(good)
    for changed in (
        (number + n).to_bytes(256),
        (n - number).to_bytes(256),
        b"\0" + signature,
        signature + b"\0",
        signature[:-1],
        b"",
        bytes(256),
        (1).to_bytes(256),
        n.to_bytes(256),
        b"\xff" * 256,
    ):
        assert attacked.answer_to(with_signature(good, changed)) == UNAUTHORIZED
    assert attacked.answer_to(good) == OPENED


@pytest.mark.parametrize("key", [RSA, EC])
def test_another_encoding_of_a_good_signature(attacked: Target, key: int) -> None:
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    # Until the two encodings of base64 differ.
    while {"-", "_"}.isdisjoint((good := attacked.provider.token("one", key=key, jti=uuid.uuid4().hex)).split(".")[2]):
        pass
    signed, _, signature = good.rpartition(".")
    last = alphabet[alphabet.index(signature[-1]) ^ 1]  # changes a bit that carries nothing
    plain = base64.b64encode(signature_of(good)).decode()
    for other in (signature[:-1] + last, f"{signature}!", f"!{signature}", f"{signature[:9]} {signature[9:]}", plain):
        assert attacked.answer_to(f"{signed}.{other}") == UNAUTHORIZED
    padded = f"{signed}.{signature}=="
    assert attacked.answer_to(padded) == OPENED
    assert credential(padded) == credential(good)


def test_another_encoding_of_what_is_signed_is_refused(attacked: Target) -> None:
    header, payload, signature = attacked.provider.token("one").split(".")
    for text in (
        f"{header}=.{payload}.{signature}",
        f"{header}.{payload}=.{signature}",
        f"{header}.{payload}!.{signature}",
        f"{header}.{payload}.{signature}.",
        f".{header}.{payload}.{signature}",
    ):
        assert attacked.answer_to(text) == UNAUTHORIZED
