"""Providers that are careless, broken or hostile. Each one is an issuer of one service, which must not mind it."""

from __future__ import annotations

import hmac
import json
from collections.abc import Iterator
from functools import partial
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from jwt.algorithms import OKPAlgorithm

from tests.identity.keys import SigningKey
from tests.identity.outside import Outside
from tests.identity.provider_process import ProviderProcess
from tests.identity.target import OPENED, OVERLOAD, UNAUTHORIZED, Target, environment, target
from tests.identity.tokens import assemble, b64, claims_of, token

LINK_LOCAL = (
    "169.254.169.254",
    "[fe80::1]",
    "[::ffff:169.254.169.254]",
    "[::ffff:a9fe:a9fe]",
    "2852039166",
    "0xa9fea9fe",
    "[fd00:ec2::254]",
    "metadata.google.internal",
)
METADATA = [f"http://{host}/latest/meta-data/iam/security-credentials/" for host in LINK_LOCAL]
TRAP = "TRAP"

REDIRECTS = {
    "another host": TRAP,
    "another scheme": "file:///etc/passwd",
    "itself": "keys",
    **{f"redirect {url}": url for url in METADATA},
}
KEYS_URLS = {
    "keys at http": "http://keys.example.com/keys",
    "keys in a file": "file:///etc/passwd",
    "keys nowhere": "",
    **{f"keys {url}": url for url in METADATA},
    # Without the name: what it leads to is known to the proxy alone.
    **{f"keys {url}": url for url in (each.replace("http:", "https:") for each in METADATA[:-1])},
}


def okp_keys(count: int) -> dict[str, Any]:
    """Make a set of small keys: 10,000 of them are below the limit of bytes."""
    jwk = OKPAlgorithm.to_jwk(ed25519.Ed25519PrivateKey.generate().public_key(), as_dict=True)
    return {"keys": [{**jwk, "kid": str(number)} for number in range(count)]}


BODIES: dict[str, Any] = {
    "10,000 keys": {"body": okp_keys(10_000)},
    "huge": {"body": json.dumps({"keys": [], "filler": "x" * 3_000_000})},
    "HTML": {"body": "<!doctype html><title>Sign in</title>", "headers": {"Content-Type": "text/html"}},
    "empty": {"body": ""},
    "a list": {"body": "[]"},
    "no keys": {"body": {"keys": []}},
    "keys of another type": {"body": {"keys": {"kty": "RSA"}}},
    "10,000 levels": {"body": "[" * 10_000 + "]" * 10_000},
    "500": {"body": "", "status": 500},
    "404": {"body": "", "status": 404},
    "204": {"body": "", "status": 204},
    "slow drip": {"body": json.dumps({"keys": []}).ljust(600), "drip": 0.2},
}


def break_keys(login: ProviderProcess, out: Outside, name: str, fault: str) -> None:
    """Let an issuer answer with a fault instead of its keys."""
    if fault in REDIRECTS:
        login.answer(name, "keys", status=302, headers={"Location": REDIRECTS[fault].replace(TRAP, out.trap.url)})
    elif fault in KEYS_URLS:
        login.answer(name, "discovery", {"issuer": login.issuer(name), "jwks_uri": KEYS_URLS[fault]})
    else:
        login.answer(name, "keys", **BODIES[fault])


KEYS_FAULTS = {f"k{number}": fault for number, fault in enumerate((*REDIRECTS, *BODIES))}
"""Issuers by name. Each one is asked twice: before and after its keys were known."""
DISCOVERY_FAULTS = {f"d{number}": fault for number, fault in enumerate(KEYS_URLS)}


# Weak keys in the set of an issuer that has good ones too


CARELESS = {
    "RSA of 1024 bits": SigningKey.generate(bits=1024),
    "P-384 said to be for ES256": SigningKey.generate("ES256", curve=ec.SECP384R1()),
    "secp256k1": SigningKey.generate("ES256", curve=ec.SECP256K1()),
    "private": SigningKey.generate(),
    "for encryption": SigningKey.generate(),
    "for wrapping": SigningKey.generate(),
    "for RS512": SigningKey.generate(),
}
SECRET_KEY = b"published by mistake, 32 bytes or more"
DUPLICATES = [SigningKey.generate(kid="twice") for _ in range(2)]


def careless_set(login: ProviderProcess) -> dict[str, Any]:
    weak = {name: key.jwk for name, key in CARELESS.items()}
    weak["private"] = CARELESS["private"].private_jwk
    weak["for encryption"] |= {"use": "enc"}
    weak["for wrapping"] = {**weak["for wrapping"], "key_ops": ["wrapKey"]}
    weak["for RS512"] |= {"alg": "RS512"}
    garbage: list[object] = [
        None,
        "key",
        7,
        [],
        {},
        {"kty": "RSA"},
        {"kty": "RSA", "n": "", "e": "", "kid": "empty"},
        {"kty": "RSA", "n": "AA", "e": "AQAB", "kid": "zero"},
        {"kty": "RSA", "n": "_" * 100_000, "e": "AQAB", "kid": "long"},
        {"kty": "RSA", "n": 7, "e": ["AQAB"], "kid": "types"},
        {"kty": "EC", "crv": "P-256", "x": "AA", "y": "AA", "kid": "off the curve"},
        {"kty": "EC", "crv": "P-256", "x": b64(bytes(32)), "y": b64(bytes(32)), "kid": "at infinity"},
        {"kty": ["RSA"], "kid": {}},
        {"kty": "oct", "k": b64(SECRET_KEY), "kid": "oct", "alg": "HS256"},
        {"kty": "oct", "k": b64(SECRET_KEY), "kid": "oct", "alg": "RS256"},
    ]
    good = [key.jwk for key in (*login.keys["careless"], *DUPLICATES)]
    return {"keys": [*garbage, *weak.values(), *good, *garbage]}


@pytest.fixture(scope="module")
def surrounded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Target]:
    """A service with one good issuer, and all the others."""
    names, broken = ("good", "careless", "liar"), (*KEYS_FAULTS, *DISCOVERY_FAULTS)
    with environment(tmp_path_factory.mktemp("provider"), *names, others=broken) as (login, out, queue):
        login.answer("careless", "keys", careless_set(login))
        login.answer("liar", "discovery", {"issuer": login.issuer("good"), "jwks_uri": f"{login.issuer('good')}/keys"})
        for name, fault in (KEYS_FAULTS | DISCOVERY_FAULTS).items():
            break_keys(login, out, name, fault)
        with target(login, out, queue, (*names, *broken)) as running:
            running.wait_for("good")
            running.wait_for("careless")
            yield running


@pytest.mark.parametrize("name", KEYS_FAULTS | DISCOVERY_FAULTS, ids=(KEYS_FAULTS | DISCOVERY_FAULTS).get)
def test_an_issuer_whose_keys_cannot_be_used_is_named_and_its_tokens_are_not_judged(
    surrounded: Target, name: str
) -> None:
    assert surrounded.wait_for_trouble(name).startswith("unavailable: ")
    assert surrounded.chain.get("/readyz").status_code == 503
    assert surrounded.answer_to(surrounded.provider.token(name)) == OVERLOAD
    assert surrounded.answer_to(surrounded.provider.token("good")) == OPENED
    assert surrounded.chain.get("/healthz").status_code == 200


def test_nothing_was_asked_but_the_issuers_themselves(surrounded: Target) -> None:
    for name in KEYS_FAULTS | DISCOVERY_FAULTS:
        surrounded.wait_for_trouble(name)
    assert surrounded.asked_outside == []


def test_an_issuer_cannot_speak_for_another(surrounded: Target) -> None:
    assert "another issuer" in surrounded.wait_for_trouble("liar")
    good = surrounded.provider.keys["good"][0]
    assert surrounded.answer_to(token(good, claims_of(surrounded.provider.issuer("liar")))) == OVERLOAD


@pytest.mark.parametrize("what", CARELESS)
def test_a_key_that_is_not_safe_is_not_used(surrounded: Target, what: str) -> None:
    key = CARELESS[what]
    claims = claims_of(surrounded.provider.issuer("careless"))
    assert surrounded.answer_to(token(key, claims)) in (UNAUTHORIZED, OVERLOAD)
    good = surrounded.provider.keys["careless"][0]
    assert surrounded.answer_to(token(key, claims, kid=good.kid)) == UNAUTHORIZED


def test_a_published_secret_is_not_used(surrounded: Target) -> None:
    claims = claims_of(surrounded.provider.issuer("careless"))
    sign = partial(hmac.digest, SECRET_KEY, digest="sha256")
    for algorithm in ("HS256", "RS256"):
        text = assemble({"alg": algorithm, "kid": "oct"}, claims, sign)
        assert surrounded.answer_to(text) in (UNAUTHORIZED, OVERLOAD)


def test_good_keys_beside_garbage_are_used(surrounded: Target) -> None:
    for key in (0, 1):
        assert surrounded.answer_to(surrounded.provider.token("careless", key=key)) == OPENED


def test_of_two_keys_with_one_id_each_is_used(surrounded: Target) -> None:
    claims = claims_of(surrounded.provider.issuer("careless"))
    for key in DUPLICATES:
        assert surrounded.answer_to(token(key, claims)) == OPENED
    assert surrounded.answer_to(token(SigningKey.generate(kid="twice"), claims)) == UNAUTHORIZED
