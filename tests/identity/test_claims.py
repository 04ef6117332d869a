"""Tokens that a trusted key has signed, and that are not meant for this service, or not now."""

from __future__ import annotations

import time
from typing import Any

import pytest

from tests.identity.target import OPENED, UNAUTHORIZED, Target
from tests.identity.tokens import claims_of, token

NOW = int(time.time())
"""Stands in no test's name: the names must be the same in every process that runs the tests."""
UNVERIFIED = "the token is malformed, or its signature is not valid"
"""What a refusal says if it must not tell more."""


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"aud": "other"}, "aud claim"),
        ({"aud": ["other", "another"]}, "aud claim"),
        ({"aud": ["push", 1]}, "aud claim"),
        ({"aud": {"push": 1}}, "aud claim"),
        ({"aud": 1}, "aud claim"),
        ({"aud": "PUSH"}, "aud claim"),
        ({"aud": "push "}, "aud claim"),
        ({"aud": None}, "no aud claim"),
        ({"aud": []}, "no aud claim"),
        ({"aud": ""}, "no aud claim"),
        ({"aud": "other", "client_id": "push"}, "aud claim"),
        ({"aud": None, "client_id": "other"}, "client_id claim"),
        ({"aud": None, "client_id": {"push": 1}}, "client_id claim"),
        ({"aud": None, "azp": "push"}, "no aud claim"),
        ({"exp": None}, "exp claim"),
        pytest.param({"exp": NOW - 1}, "exp claim", id="exp a second ago"),
        pytest.param({"exp": NOW * 1000}, "milliseconds", id="exp in milliseconds"),
        ({"exp": "soon"}, "exp claim"),
        ({"exp": float("inf")}, ""),
        ({"exp": float("nan")}, ""),
        pytest.param({"exp": [NOW + 600]}, "exp claim", id="exp as a list"),
        pytest.param({"nbf": NOW + 600}, "nbf claim", id="nbf in ten minutes"),
        ({"nbf": "soon"}, "nbf claim"),
        ({"sub": None}, "sub claim"),
        ({"sub": ""}, "sub claim"),
        ({"sub": " 42"}, "sub claim"),
        ({"sub": ["42"]}, "sub claim"),
        ({"sub": True}, "sub claim"),
        ({"groups": "ops"}, "groups claim"),
        ({"token_use": "id"}, "token_use claim"),
        ({"token_use": "refresh"}, "token_use claim"),
        ({"typ": "ID"}, "typ claim"),
        ({"typ": "Refresh"}, "typ claim"),
        ({"typ": "Offline"}, "typ claim"),
        ({"typ": "Logout"}, "typ claim"),
    ],
    ids=lambda value: str(value)[:40],
)
def test_a_wrong_claim_is_refused_and_named(attacked: Target, changes: dict[str, Any], said: str) -> None:
    text = attacked.provider.token("one", **changes)
    assert attacked.answer_to(text) == UNAUTHORIZED
    assert said in attacked.detail(text)


def test_a_wrong_issuer_is_refused(attacked: Target) -> None:
    true = attacked.provider.issuer("one")
    named = (f"{true}/", true.upper(), true.replace("localhost", "127.0.0.1"), "https://evil.example", "")
    for wrong in (*named, None, 1, [true], {true: 1}):
        assert attacked.answer_to(attacked.provider.token("one", iss=wrong)) == UNAUTHORIZED


@pytest.mark.parametrize("kind", ["refresh+jwt", "id+jwt", "logout+jwt", "dpop+jwt", "JWE", "", 1, None])
def test_a_header_that_says_that_it_is_no_access_token(attacked: Target, kind: object) -> None:
    key = attacked.provider.keys["one"][0]
    assert attacked.answer_to(token(key, claims_of(attacked.provider.issuer("one")), typ=kind)) == UNAUTHORIZED


@pytest.mark.parametrize("kind", ["JWT", "jwt", "at+jwt", "AT+JWT", "application/at+jwt"])
def test_a_header_that_says_access_token_or_jwt(attacked: Target, kind: str) -> None:
    key = attacked.provider.keys["one"][0]
    assert attacked.answer_to(token(key, claims_of(attacked.provider.issuer("one")), typ=kind)) == OPENED


@pytest.mark.parametrize(
    "changes",
    [
        {"aud": None, "client_id": "push"},
        {"aud": ["other", "push"]},
        {"token_use": "access"},
        {"typ": "Bearer"},
        pytest.param({"nbf": NOW + 30}, id="nbf in half a minute"),
        pytest.param({"iat": NOW + 3600}, id="iat in an hour"),
        {"sub": 42},
        {"groups": ["ops", 7]},
    ],
    ids=str,
)
def test_a_claim_that_real_providers_write_is_accepted(attacked: Target, changes: dict[str, Any]) -> None:
    assert attacked.answer_to(attacked.provider.token("one", **changes)) == OPENED


def test_before_the_signature_holds_no_claim_is_named(attacked: Target) -> None:
    stranger = attacked.provider.keys["two"][0]
    kid = attacked.provider.keys["one"][0].kid
    for changes in ({}, {"aud": "other"}, {"exp": 1}, {"token_use": "id"}, {"sub": None}):
        forged = token(stranger, claims_of(attacked.provider.issuer("one"), **changes), kid=kid)
        assert attacked.detail(forged) == UNVERIFIED
