"""Requests with the credentials of two users."""

from __future__ import annotations

import httpx
import pytest

from tests.identity.target import OPENED, SESSION, UNAUTHORIZED, Target
from tests.integration.chain import Stream


def bearer(text: str) -> tuple[str, str]:
    return "Authorization", f"Bearer {text}"


def cookie(*texts: str) -> tuple[str, str]:
    return "Cookie", "; ".join(f"{SESSION}={text}" for text in texts)


def test_two_authorization_headers(attacked: Target) -> None:
    ann, bob = (attacked.provider.token("one", user) for user in ("ann", "bob"))
    assert attacked.answer(bearer(ann), bearer(bob)) == UNAUTHORIZED
    assert attacked.answer(bearer(ann), bearer(ann)) == UNAUTHORIZED
    assert attacked.answer(bearer(ann), ("Authorization", "Basic dTpw")) == UNAUTHORIZED


def test_two_tokens_in_one_authorization_header(attacked: Target) -> None:
    ann, bob = (attacked.provider.token("one", user) for user in ("ann", "bob"))
    for separator in (", ", " ", ",", ", Bearer "):
        assert attacked.answer(bearer(f"{ann}{separator}{bob}")) == UNAUTHORIZED


def test_two_different_cookies(attacked: Target) -> None:
    ann, bob = (attacked.provider.token("one", user) for user in ("ann", "bob"))
    assert attacked.answer(cookie(ann, bob)) == UNAUTHORIZED
    assert attacked.answer(cookie(ann), cookie(bob)) == UNAUTHORIZED
    assert attacked.answer(cookie(ann, ann)) == OPENED


def test_a_token_in_the_query_is_no_credential(attacked: Target) -> None:
    ann = attacked.provider.token("one", "ann")
    for name in ("token", "access_token", "authorization"):
        assert attacked.chain.get("/events", params={name: ann}).status_code == 401


@pytest.mark.parametrize("ways", [("one", "one"), ("one", "two"), ("own", "one"), ("one", "own")])
def test_the_bearer_token_of_one_user_beside_the_cookie_of_another(attacked: Target, ways: tuple[str, str]) -> None:
    def sign(way: str, user: str) -> str:
        return attacked.own_back_end.sign(user) if way == "own" else attacked.provider.token(way, user)

    chain = attacked.chain
    headers = [bearer(sign(ways[0], "ann")), cookie(sign(ways[1], "bob"))]
    with chain.client.stream("GET", f"{chain.url}/events", headers=headers) as response:
        stream = Stream(response)
        assert '"user":"ann"' in stream.wait_for("stream.ready").data
        for user in ("bob", "ann"):
            chain.put(f"for {user}", user_id=user)
        chain.put("for all", broadcast="true")
        stream.wait_for("for all")
        assert stream.data == ["for ann", "for all"]
        stream.close()


def test_a_bad_bearer_token_beside_a_good_cookie(attacked: Target) -> None:
    bob = attacked.provider.token("one", "bob")
    expired = attacked.provider.token("one", "ann", seconds=-1)
    for bad in (expired, f"{bob}x", "x", attacked.provider.token("one", "ann", aud="other")):
        assert attacked.answer(bearer(bad), cookie(bob)) == UNAUTHORIZED


def test_a_session_is_of_the_bearer_token_and_not_of_the_cookie(attacked: Target) -> None:
    chain = attacked.chain
    ann, bob = (attacked.provider.token("one", user) for user in ("ann", "bob"))
    made = chain.client.post(f"{chain.url}/session", headers=[bearer(ann), cookie(bob)])
    assert made.status_code == 204
    assert httpx.Cookies(made.cookies).get(SESSION) == ann
