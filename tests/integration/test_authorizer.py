"""Whom a service admits and refuses that asks one's own back end (``SSE_AUTHORIZER_URL``)."""

from __future__ import annotations

import json
import re
import time
from urllib.parse import urlsplit

import pytest

from tests.integration.authorizer_chain import (
    by_cookie,
    opened,
    refused,
    seen,
)
from tests.integration.chain import Chain
from tests.integration.process import DEADLINE
from tests.integration.test_http import problem

# Who is admitted


def test_the_user_and_the_groups_that_the_back_end_names_get_their_events(asking: Chain) -> None:
    with asking.stream_with(by_cookie("ann")) as stream:
        asking.put("for ann", user_id="ann")
        asking.put("for others", user_id="42")
        asking.put("for the group", group="ops")
        stream.wait_for("for the group")
        assert stream.data == ["for ann", "for the group"]
        assert '"user":"ann"' in stream.messages[0].data


def test_users_and_groups_may_be_integers(asking: Chain) -> None:
    with asking.stream_with(by_cookie("integers")) as stream:
        asking.put("for 42", user_id="42")
        asking.put("for 7", group="7")
        stream.wait_for("for 7")
        assert stream.data == ["for 42", "for 7"]


def test_an_answer_may_have_64_kb_and_other_fields(asking: Chain) -> None:
    assert opened(asking, by_cookie("long-answer")) == 200


def test_a_stream_ends_when_the_answer_expires_and_the_next_one_with_the_same_cookie_resumes(asking: Chain) -> None:
    with asking.stream_with(by_cookie("brief")) as stream:
        stream.wait_for_end()
        assert json.loads(stream.messages[-1].data) == {"reason": "expired", "reconnect": True}
        [*_, retry] = re.findall(rb"retry: (\d+)", stream.raw)
        assert 1000 <= int(retry) <= 5000
        last = stream.messages[0].id
    with asking.stream_with(by_cookie("brief", **{"Last-Event-ID": last})) as stream:
        assert json.loads(stream.messages[0].data)["resumed"]


def test_the_back_end_gets_cookie_and_authorization_to_the_byte_and_nothing_else_of_the_client(
    asking: Chain, backend: str
) -> None:
    cookie = 'a="x y"; as=bytes;b=é%3B=; ;c='.encode()
    headers = [
        (b"Cookie", cookie),
        (b"Authorization", b"App  bytes=="),
        *((b"Accept-Language", b"de"), (b"User-Agent", b"browser"), (b"Referer", b"https://app.example.com/x")),
        *((b"X-Forwarded-For", b"192.0.2.1"), (b"Last-Event-ID", b"1.2.3"), (b"X-Secret", b"client")),
    ]
    assert opened(asking, headers) == 200
    [asked] = seen(backend, "App  bytes==")
    assert (asked["method"], asked["path"]) == ("GET", "/push-user")
    assert dict(asked["headers"]) == {
        "host": urlsplit(backend).netloc,
        "cookie": cookie.decode("latin-1"),
        "authorization": "App  bytes==",
        "accept": "application/json",
        "accept-encoding": "identity",
        "user-agent": "sse-service",
    }


def test_a_cookie_that_is_no_utf_8_is_left_out_and_the_others_are_passed_on(asking: Chain, backend: str) -> None:
    assert opened(asking, [(b"Cookie", b"legacy=caf\xe9; as=latin")]) == 200
    [asked] = seen(backend, "as=latin")
    assert dict(asked["headers"])["cookie"] == "as=latin"


def test_a_cookie_that_the_back_end_sets_is_not_sent_with_other_requests(asking: Chain, backend: str) -> None:
    assert opened(asking, by_cookie("sets-a-cookie")) == 200
    assert opened(asking, {"Authorization": "App after-the-cookie"}) == 200
    [asked] = seen(backend, "App after-the-cookie")
    assert "cookie" not in dict(asked["headers"])


def test_connections_to_the_back_end_are_used_again(asking: Chain, backend: str) -> None:
    for who in ("first", "second", "signed-out.third", "fourth"):
        opened(asking, by_cookie(who))
    ports = {seen(backend, f"as={who}")[0]["port"] for who in ("first", "second", "signed-out.third", "fourth")}
    assert len(ports) == 1


def test_a_user_who_is_revoked_is_asked_about_again_and_the_new_answer_counts(asking: Chain, backend: str) -> None:
    with asking.stream_with(by_cookie("revoked")) as stream:
        assert opened(asking, by_cookie("revoked")) == 200
        assert len(seen(backend, "as=revoked")) == 1
        asking.client.post(f"{asking.admin}/revoke", json={"user": "revoked"}).raise_for_status()
        stream.wait_for_end()
        assert '"revoked"' in stream.messages[-1].data
    # In the second of the revocation it is not clear which came first.
    until = time.monotonic() + DEADLINE
    while (status := opened(asking, by_cookie("revoked"))) != 200:
        assert status == 503
        assert time.monotonic() < until
    assert len(seen(backend, "as=revoked")) > 1


# Who is not


def test_a_client_that_is_not_signed_in_is_refused_and_gets_nothing_of_the_back_ends_answer(
    without_tokens: Chain,
) -> None:
    response = refused(without_tokens, {"Cookie": "x=y"}, 401)
    assert "sign in" in problem(response)
    assert "secret details" not in response.text


def test_a_user_who_may_not_open_streams_is_forbidden(asking: Chain) -> None:
    response = refused(asking, by_cookie("not-allowed"), 403)
    assert "the application" in problem(response)
    response = refused(asking, by_cookie("many-groups"), 403)
    assert "100 groups" in problem(response)


def test_a_refusal_is_not_remembered(asking: Chain, backend: str) -> None:
    for _ in range(2):
        assert opened(asking, by_cookie("signed-out.twice")) == 401
    assert len(seen(backend, "signed-out.twice")) == 2


def test_without_cookie_and_authorization_the_back_end_is_not_asked(without_tokens: Chain, backend: str) -> None:
    def asked() -> int:
        return len(seen(backend, "sse-service"))

    before = asked()
    response = refused(without_tokens, {"X-Key": "42"}, 401)
    assert response.headers["www-authenticate"] == "Bearer"
    assert "withCredentials" in problem(response)
    assert opened(without_tokens, {"Cookie": "", "Authorization": ""}) == 401
    assert asked() == before


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "https://evil.example"},
        {"Origin": "null"},
        {"Sec-Fetch-Site": "same-site"},
        {"Sec-Fetch-Site": "cross-site"},
    ],
)
def test_a_page_of_another_origin_is_forbidden_and_the_back_end_is_not_asked(
    asking: Chain, backend: str, headers: dict[str, str]
) -> None:
    for credential in ({"Cookie": "as=forged"}, {"Authorization": "Basic forged"}):
        response = refused(asking, {**credential, **headers}, 403)
        assert "SSE_CORS_ORIGINS" in problem(response)
    assert not seen(backend, "forged")


def test_a_page_of_an_allowed_origin_is_admitted(asking: Chain) -> None:
    assert opened(asking, by_cookie("42", Origin="https://app.example.com")) == 200


def test_a_bearer_token_is_judged_by_the_verifier_and_never_reaches_the_back_end(asking: Chain, backend: str) -> None:
    good = asking.headers("of-the-token")["Authorization"]
    with asking.stream_with(by_cookie("other", Authorization=good)) as stream:
        assert '"user":"of-the-token"' in stream.messages[0].data
    assert opened(asking, by_cookie("other", Authorization="Bearer bad-token")) == 401
    assert not seen(backend, "Bearer")


def test_without_a_verifier_a_bearer_header_goes_to_the_back_end(without_tokens: Chain, backend: str) -> None:
    assert opened(without_tokens, {"Authorization": "Bearer opaque"}) == 401
    assert len(seen(backend, "Bearer opaque")) == 1
    assert opened(without_tokens, {"Authorization": "App ann"}) == 200


def test_two_authorization_headers_are_refused(without_tokens: Chain, backend: str) -> None:
    headers = [("Authorization", "App twice"), ("Authorization", "App twice")]
    assert opened(without_tokens, headers) == 401
    assert not seen(backend, "App twice")
