"""A token holds or it does not."""

import base64
import json
import time
from typing import Any

import jwt
import pytest

from sse_service.auth.tokens import MAX_GROUPS, Tokens
from sse_service.model.errors import Forbidden, InvalidToken

OLD, NEW = "o" * 32, "n" * 32

PUBLIC_KEY = "-----BEGIN PUBLIC KEY-----\nMFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAE\n-----END PUBLIC KEY-----"


def made(secret: str = NEW, algorithm: str = "HS256", **claims: Any) -> str:
    return jwt.encode({"sub": "42", "exp": int(time.time()) + 60, **claims}, secret, algorithm=algorithm)


def test_what_is_signed_is_verified() -> None:
    tokens = Tokens(secrets=[NEW], issuer="i", audience="a")
    principal = tokens.verify(tokens.sign("42", groups=["b", "a", "b"], ttl_seconds=60))
    assert (principal.user, principal.groups) == ("42", ("b", "a"))
    assert 50 < principal.expires - time.time() <= 60


def test_an_old_secret_still_verifies_and_the_first_signs() -> None:
    rotating = Tokens(secrets=[NEW, OLD])
    assert rotating.verify(made(OLD)).user == "42"
    assert Tokens(secrets=[NEW]).verify(rotating.sign("42")).user == "42"


def test_user_and_groups_may_stand_in_other_claims() -> None:
    tokens = Tokens(secrets=[NEW], user_claim="uid", groups_claim="roles")
    principal = tokens.verify(made(uid=7, roles=["ops"]))
    assert (principal.user, principal.groups) == ("7", ("ops",))


NONE = ".".join(
    base64.urlsafe_b64encode(json.dumps(part).encode()).decode().rstrip("=")
    for part in ({"alg": "none"}, {"sub": "42", "exp": int(time.time()) + 60})
)


@pytest.mark.parametrize(
    "token",
    [
        "",
        "x",
        "é.é.é",
        NONE + ".",
        made(OLD),
        made(exp=int(time.time()) - 1),
        made(exp=None),
        made(nbf=int(time.time()) + 60),
        made(aud="other"),
        made(NEW * 2, "HS512"),
        made(sub=""),
        made(sub=None),
        made(sub=True),
        made(groups="ops"),
        made(groups=[1]),
        made(sub="\ud83d"),
        made(groups=["ops", "\udfff"]),
        made()[:-2],
    ],
    # Not by the tokens themselves, in which there are times.
    ids=lambda token: f"{len(token)} characters",
)
def test_anything_else_does_not_hold(token: str) -> None:
    with pytest.raises(InvalidToken):
        Tokens(secrets=[NEW]).verify(token)


def test_a_token_made_by_a_clock_that_is_ahead_holds() -> None:
    assert Tokens(secrets=[NEW]).verify(made(iat=time.time() + 5)).user == "42"


@pytest.mark.parametrize("claims", [{}, {"iss": "other", "aud": "a"}, {"iss": "i", "aud": "other"}])
def test_issuer_and_audience_must_match_where_they_are_set(claims: dict[str, str]) -> None:
    with pytest.raises(InvalidToken):
        Tokens(secrets=[NEW], issuer="i", audience="a").verify(made(**claims))


def test_more_than_a_hundred_groups_are_forbidden() -> None:
    groups = [str(n) for n in range(MAX_GROUPS + 1)]
    with pytest.raises(Forbidden):
        Tokens(secrets=[NEW]).verify(made(groups=groups))
    assert len(Tokens(secrets=[NEW]).verify(made(groups=groups[1:])).groups) == MAX_GROUPS


@pytest.mark.parametrize(
    ("secrets", "why"),
    [
        ([], "needed"),
        (["short"], "32 bytes"),
        ([NEW, "x" * 31], "32 bytes"),
        ([PUBLIC_KEY], "public key"),
    ],
)
def test_no_secret_a_short_one_or_one_that_anybody_may_know_is_refused(secrets: list[str], why: str) -> None:
    with pytest.raises(ValueError, match=why):
        Tokens(secrets=secrets)
