"""Tokens that nobody who is trusted has signed. Each is refused, and nothing that it names is asked for."""

from __future__ import annotations

import hmac
import json
import os
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.serialization import Encoding

from tests.identity.conftest import SHARED
from tests.identity.keys import SigningKey
from tests.identity.target import OPENED, OVERLOAD, UNAUTHORIZED, Target
from tests.identity.tokens import assemble, b64, claims_of, signature_of, token
from tests.integration.chain import SECRET

RSA, EC = 0, 1
"""The keys of each issuer, by their place."""


@pytest.fixture(scope="module")
def foreign() -> SigningKey:
    """The attacker's own key."""
    return SigningKey.generate()


def unsigned(_: bytes) -> bytes:
    return b""


def hs256(secret: bytes, signed: bytes) -> bytes:
    return hmac.digest(secret, signed, "sha256")


# The algorithm


@pytest.mark.parametrize(
    "algorithm",
    ["none", "None", "NONE", "nOnE", "none ", "", None, 0, True, ["none"], ["RS256"], {"none": 1}, "RS256\0", "rs256"],
)
@pytest.mark.parametrize("key", [RSA, EC])
def test_an_algorithm_that_is_none_or_no_algorithm(attacked: Target, algorithm: object, key: int) -> None:
    good = attacked.provider.keys["one"][key]
    claims = claims_of(attacked.provider.issuer("one"))
    for header in ({"alg": algorithm, "kid": good.kid}, {"alg": algorithm}):
        for sign in (unsigned, good.sign):
            assert attacked.answer_to(assemble(header, claims, sign)) == UNAUTHORIZED


def test_a_header_without_an_algorithm(attacked: Target) -> None:
    good = attacked.provider.keys["one"][RSA]
    text = assemble({"kid": good.kid}, claims_of(attacked.provider.issuer("one")), good.sign)
    assert attacked.answer_to(text) == UNAUTHORIZED


PUBLIC_FORMS: dict[str, Callable[[SigningKey], bytes]] = {
    "PEM": lambda key: key.public_bytes(Encoding.PEM),
    "PEM without its last line end": lambda key: key.public_bytes(Encoding.PEM).strip(),
    "DER": lambda key: key.public_bytes(Encoding.DER),
    "JWK": lambda key: json.dumps(key.jwk).encode(),
    "compact JWK": lambda key: json.dumps(key.jwk, separators=(",", ":")).encode(),
    "its id": lambda key: key.kid.encode(),
    "nothing": lambda key: b"",
}


@pytest.mark.parametrize("form", PUBLIC_FORMS)
@pytest.mark.parametrize("key", [RSA, EC])
def test_hs256_with_the_public_key_as_the_secret(attacked: Target, form: str, key: int) -> None:
    good = attacked.provider.keys["one"][key]
    secret = PUBLIC_FORMS[form](good)
    claims = claims_of(attacked.provider.issuer("one"))
    for algorithm in ("HS256", good.algorithm):
        for header in ({"alg": algorithm, "kid": good.kid}, {"alg": algorithm}):
            assert attacked.answer_to(assemble(header, claims, partial(hs256, secret))) == UNAUTHORIZED


@pytest.mark.parametrize("algorithm", ["RS384", "RS512", "PS256", "ES256", "EdDSA"])
def test_an_algorithm_that_is_not_the_keys_own(attacked: Target, algorithm: str) -> None:
    good = attacked.provider.keys["one"][RSA]
    assert isinstance(good.private, rsa.RSAPrivateKey)
    kinds = {"RS384": hashes.SHA384(), "RS512": hashes.SHA512()}
    private = good.private

    def sign(signed: bytes) -> bytes:
        if algorithm == "PS256":
            return private.sign(signed, padding.PSS(padding.MGF1(hashes.SHA256()), 32), hashes.SHA256())
        return private.sign(signed, padding.PKCS1v15(), kinds.get(algorithm, hashes.SHA256()))

    header = {"alg": algorithm, "kid": good.kid}
    assert attacked.answer_to(assemble(header, claims_of(attacked.provider.issuer("one")), sign)) == UNAUTHORIZED


# Another's key


def test_the_key_of_another_trusted_issuer(attacked: Target) -> None:
    claims = claims_of(attacked.provider.issuer("one"))
    other = attacked.provider.keys["two"][RSA]
    mine = attacked.provider.keys["one"][RSA]
    assert attacked.answer_to(token(other, claims, kid=mine.kid)) == UNAUTHORIZED
    assert attacked.answer_to(token(other, claims)) in (UNAUTHORIZED, OVERLOAD)


def test_the_key_of_another_trusted_issuer_under_the_same_id(attacked: Target) -> None:
    mine, other = (attacked.provider.keys[name][2] for name in ("one", "two"))
    assert mine.kid == other.kid == SHARED
    one, two = (claims_of(attacked.provider.issuer(name)) for name in ("one", "two"))
    assert attacked.answer_to(token(mine, one)) == OPENED
    assert attacked.answer_to(token(other, two)) == OPENED
    assert attacked.answer_to(token(other, one)) == UNAUTHORIZED
    assert attacked.answer_to(token(mine, two)) == UNAUTHORIZED


def test_an_issuer_that_is_not_trusted(attacked: Target, foreign: SigningKey) -> None:
    for issuer in (attacked.outside.trap.url, "", attacked.provider.issuer("three")):
        assert attacked.answer_to(token(foreign, claims_of(issuer))) == UNAUTHORIZED


def test_the_own_back_ends_secret_does_not_sign_with_a_providers_algorithm(attacked: Target) -> None:
    good = attacked.provider.keys["one"][RSA]
    claims = claims_of(attacked.provider.issuer("one"))
    header = {"alg": "RS256", "kid": good.kid}
    assert attacked.answer_to(assemble(header, claims, partial(hs256, SECRET.encode()))) == UNAUTHORIZED


# The header


KEY_IDS: list[object] = [
    "../../../../../../dev/null",
    "/dev/null",
    "file:///dev/null",
    "TRAP/keys",
    "' OR '1'='1'; --",
    "x' UNION SELECT 'secret",
    "k" * 10_000,
    "",
    "\0",
    "☃",
    "__class__",
]


@pytest.mark.parametrize("kid", KEY_IDS, ids=lambda kid: str(kid)[:20])
def test_a_key_id_that_is_something_else(attacked: Target, foreign: SigningKey, kid: str) -> None:
    named = kid.replace("TRAP", attacked.outside.trap.url)
    claims = claims_of(attacked.provider.issuer("one"))
    # Overload, because the provider may have a new key with this id, and may be asked only every 30 s.
    assert attacked.answer_to(token(foreign, claims, kid=named)) in (UNAUTHORIZED, OVERLOAD)
    for secret in (b"", b"\0", named.encode()):
        header = {"alg": "HS256", "kid": named}
        assert attacked.answer_to(assemble(header, claims, partial(hs256, secret))) == UNAUTHORIZED


@pytest.mark.parametrize("kid", [0, 1.5, True, None, ["a"], {"a": "b"}, [[]]], ids=str)
def test_a_key_id_that_is_no_text(attacked: Target, foreign: SigningKey, kid: object) -> None:
    assert attacked.answer_to(token(foreign, claims_of(attacked.provider.issuer("one")), kid=kid)) == UNAUTHORIZED


@pytest.mark.parametrize("name", ["jku", "x5u", "jwk", "x5c", "x5t", "iss"])
def test_a_header_that_names_or_brings_the_attackers_key(attacked: Target, foreign: SigningKey, name: str) -> None:
    url = f"{attacked.outside.trap.url}/keys"
    brought: dict[str, Any] = {
        "jku": url,
        "x5u": url,
        "jwk": foreign.jwk,
        "x5c": [b64(foreign.public_bytes(Encoding.DER))],
        "x5t": b64(os.urandom(20)),
        "iss": attacked.outside.trap.url,
    }
    claims = claims_of(attacked.provider.issuer("one"))
    mine = attacked.provider.keys["one"][RSA]
    assert attacked.answer_to(token(foreign, claims, kid=mine.kid, **{name: brought[name]})) == UNAUTHORIZED
    assert attacked.answer_to(token(foreign, claims, **{name: brought[name]})) in (UNAUTHORIZED, OVERLOAD)
    # Beside a good signature it says nothing. Some providers write it into every token.
    assert attacked.answer_to(token(mine, claims, **{name: brought[name]})) == OPENED


@pytest.mark.parametrize("critical", [["exp"], ["b64"], ["x"], [], "x", None, {}, ["kid", "kid"]], ids=str)
def test_a_critical_header(attacked: Target, critical: object) -> None:
    mine = attacked.provider.keys["one"][RSA]
    claims = claims_of(attacked.provider.issuer("one"))
    assert attacked.answer_to(token(mine, claims, crit=critical, x=1)) == UNAUTHORIZED


def test_a_payload_that_is_not_encoded(attacked: Target) -> None:
    mine = attacked.provider.keys["one"][RSA]
    payload = json.dumps(claims_of(attacked.provider.issuer("one"))).encode()
    for extra in ({"b64": False, "crit": ["b64"]}, {"b64": False}):
        header = {"alg": "RS256", "kid": mine.kid, **extra}
        head = b64(json.dumps(header))
        signature = b64(mine.sign(head.encode() + b"." + payload))
        assert attacked.answer_to(f"{head}..{signature}") == UNAUTHORIZED
        assert attacked.answer_to(assemble(header, payload, mine.sign)) == UNAUTHORIZED


# The form


def test_an_encrypted_token(attacked: Target) -> None:
    mine = attacked.provider.keys["one"][RSA]
    public = mine.private.public_key()
    assert isinstance(public, rsa.RSAPublicKey)
    head = b64(json.dumps({"alg": "RSA-OAEP-256", "enc": "A256GCM", "kid": mine.kid, "cty": "JWT"}))
    content, nonce = AESGCM.generate_key(256), os.urandom(12)
    wrapped = public.encrypt(content, padding.OAEP(padding.MGF1(hashes.SHA256()), hashes.SHA256(), None))
    inner = attacked.provider.token("one").encode()
    sealed = AESGCM(content).encrypt(nonce, inner, head.encode())
    text = ".".join([head, *map(b64, (wrapped, nonce, sealed[:-16], sealed[-16:]))])
    assert text.count(".") == 4
    assert attacked.answer_to(text) == UNAUTHORIZED


@pytest.mark.parametrize("text", [".", "..", "...", "a", "a.b", "a.b.c", "....", "e30.e30.", "bnVsbA.bnVsbA.bnVsbA"])
def test_what_is_no_token(attacked: Target, text: str) -> None:
    assert attacked.answer_to(text) == UNAUTHORIZED


@pytest.mark.parametrize("levels", [1_000, 5_000, 10_000])
@pytest.mark.parametrize("part", ["header", "kid", "payload", "iss", "sub", "groups"])
def test_many_levels(attacked: Target, part: str, levels: int) -> None:
    """Whoever signed it: the parser must not give up with an error."""
    mine = attacked.provider.keys["one"][RSA]
    issuer = attacked.provider.issuer("one")
    deep = "[" * levels + "]" * levels
    for algorithm, sign in (("RS256", unsigned), ("RS256", mine.sign), ("HS256", partial(hs256, SECRET.encode()))):
        header: dict[str, Any] = {"alg": algorithm, "kid": mine.kid}
        payload = claims_of(issuer)
        if part in ("header", "kid"):
            header["kid"] = "DEEP"
        else:
            payload["sub" if part == "payload" else part] = "DEEP"
        texts = [json.dumps(each).replace('"DEEP"', deep).encode() for each in (header, payload)]
        if part in ("header", "payload"):
            texts[part == "payload"] = deep.encode()
        text = assemble(*texts, sign)
        response = attacked.chain.get("/events", headers={"Authorization": f"Bearer {text}"})
        # The parser of HTTP refuses a header of more than 16 KiB.
        assert response.status_code == (401 if len(text) < 16_000 else 431), (len(text), response.text)


def test_a_token_of_a_megabyte(attacked: Target) -> None:
    text = attacked.provider.token("one", filler="x" * 2**20)
    for headers in ({"Authorization": f"Bearer {text}"}, {"Cookie": f"sse_session={text}"}):
        assert attacked.chain.get("/events", headers=headers).status_code == 431
        assert attacked.chain.client.post(f"{attacked.chain.url}/session", headers=headers).status_code == 431


def test_the_signature_of_another_token(attacked: Target) -> None:
    stolen = signature_of(attacked.provider.token("one", "7"))
    mine = attacked.provider.keys["one"][RSA]
    claims = claims_of(attacked.provider.issuer("one"), "42")
    assert attacked.answer_to(assemble({"alg": "RS256", "kid": mine.kid}, claims, lambda _: stolen)) == UNAUTHORIZED
