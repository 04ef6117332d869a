"""Users are signed out by ``POST /revoke``, the operator's page and ``DELETE /session``, on one task and on several."""

from __future__ import annotations

import json
import signal
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack

import httpx
import jwt
import pytest

from tests.integration.chain import Chain, Stream, queue_stub, service
from tests.integration.process import DEADLINE
from tests.integration.test_http import problem
from tests.integration.test_identity import bearer
from tests.integration.valkey import Valkey

OWN = {"Sec-Fetch-Site": "same-origin"}


def fresh(user: str) -> dict[str, str]:
    """A token of the next second, as a user gets who signs in after the revocation."""
    return bearer(sub=user, iat=int(time.time()) + 1)


def status(chain: Chain, headers: dict[str, str]) -> int:
    with chain.client.stream("GET", f"{chain.url}/events", headers=headers) as response:
        return response.status_code


def revoke(chain: Chain, body: object, **headers: str) -> httpx.Response:
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    return chain.client.post(f"{chain.admin}/revoke", content=content, headers=headers)


def assert_revoked(stream: Stream) -> None:
    assert json.loads(stream.wait_for("stream.close").data) == {"reason": "revoked", "reconnect": False}
    stream.wait_for_end()


def cookie(authorization: dict[str, str]) -> dict[str, str]:
    return {"Cookie": f"sse_session={authorization['Authorization'].removeprefix('Bearer ')}", **OWN}


# POST /revoke


@pytest.mark.parametrize("sent", ["revoked", 4711, 10**30])
def test_revoking_ends_the_users_streams_and_refuses_the_tokens_of_before(chain: Chain, sent: str | int) -> None:
    user, old = str(sent), chain.headers(str(sent))
    with chain.stream(user) as one, chain.stream(user) as other, chain.stream("bystander") as theirs:
        answer = revoke(chain, {"user": sent})
        assert (answer.status_code, answer.json()) == (200, {"user": user, "streams": 2})
        for stream in (one, other):
            assert_revoked(stream)
        assert theirs.types == ["stream.ready"]
    for headers in (old, cookie(old), bearer(sub=user)):
        refused = chain.get("/events", headers=headers)
        assert refused.status_code == 401
        assert problem(refused) == "the user's tokens were revoked: sign in again"
    assert chain.client.post(f"{chain.url}/session", headers=old).status_code == 401
    assert status(chain, fresh(user)) == 200
    assert chain.client.post(f"{chain.url}/session", headers=fresh(user)).status_code == 204
    assert chain.metric("sse_revocations") >= 1
    assert revoke(chain, {"user": sent}).json()["streams"] == 0


@pytest.mark.parametrize(
    "body",
    [
        *(b"", b"42", b"null", b"[]", b"{}", b"user=42", b"{", b"\xff", b"[" * 4000, b'{"user":NaN}'),
        *({"user": each} for each in ("", " 42", "42\n", True, None, 4.2, ["42"], {"id": "42"}, "\ud800")),
        *({"user": "42", "other": 1}, {"User": "42"}),
    ],
)
def test_any_other_body_is_400_and_says_how_it_must_be(chain: Chain, body: object) -> None:
    answer = revoke(chain, body)
    assert answer.status_code == 400
    assert '{"user":"42"}' in problem(answer)


def test_a_large_body_and_another_method_are_refused(chain: Chain) -> None:
    assert revoke(chain, {"user": "x" * 5_000}).status_code == 413
    assert chain.client.get(f"{chain.admin}/revoke").status_code == 405
    assert chain.client.post(f"{chain.url}/revoke", json={"user": "42"}).status_code == 404


@pytest.mark.parametrize(
    "headers",
    [
        *({"Origin": "https://evil.example"}, {"Origin": "null"}, {"Origin": "http://["}, {"Origin": ""}),
        *({"Sec-Fetch-Site": "cross-site"}, {"Sec-Fetch-Site": "same-site"}, {"Sec-Fetch-Site": "none"}),
        # The site of an attacker whose name leads to this address (DNS rebinding).
        {"Host": "evil.example", "Origin": "http://evil.example"},
        {"Host": "evil.example", **OWN},
    ],
)
def test_pages_of_other_sites_cannot_revoke(chain: Chain, headers: dict[str, str]) -> None:
    with chain.stream("kept") as stream:
        assert revoke(chain, {"user": "kept"}, **headers).status_code == 403
        assert stream.types == ["stream.ready"]
    assert status(chain, chain.headers("kept")) == 200


@pytest.mark.parametrize(
    "header", ["Origin: http://evil.example", "Origin: null", "Origin:", "Sec-Fetch-Site: same-origin"]
)
@pytest.mark.parametrize("path", ["/revoke", "/sign-out"])
def test_a_browsers_request_without_a_host_is_refused(chain: Chain, path: str, header: str) -> None:
    port = int(chain.admin.rpartition(":")[2])
    with socket.create_connection(("127.0.0.1", port), DEADLINE) as connection:
        connection.sendall(f"POST {path} HTTP/1.0\r\n{header}\r\nContent-Length: 0\r\n\r\n".encode())
        assert connection.makefile("rb").readline().startswith(b"HTTP/1.1 403 ")


def test_programs_may_revoke_under_any_host_and_the_operators_own_page_may(chain: Chain) -> None:
    assert revoke(chain, {"user": "by name"}, Host="push.internal:8001").status_code == 200
    assert revoke(chain, {"user": "by page"}, Origin=chain.admin).status_code == 200
    assert revoke(chain, {"user": "by page"}, **OWN).status_code == 200


def test_the_log_has_no_user_and_no_token(chain: Chain) -> None:
    user, headers = "canary-user", chain.headers("canary-user")
    assert revoke(chain, {"user": user}).status_code == 200
    chain.client.delete(f"{chain.url}/session", headers=cookie(headers))
    assert status(chain, headers) == 401
    assert headers["Authorization"].removeprefix("Bearer ") not in chain.process.output


# The operator's page


def test_the_operators_page_signs_a_user_out(chain: Chain) -> None:
    assert 'action="/sign-out"' in chain.client.get(f"{chain.admin}/").text
    with chain.stream("<b>by form") as stream:
        sent = chain.client.post(f"{chain.admin}/sign-out", data={"user": " <b>by form "}, headers=OWN)
        assert sent.status_code == 303
        assert_revoked(stream)
    page = chain.client.get(chain.admin + sent.headers["location"]).text
    assert "Tokens of &lt;b&gt;by form issued up to now are refused. Streams ended in this task: 1." in page
    assert status(chain, bearer(sub="<b>by form", iat=int(time.time()) - 60)) == 401


def test_the_form_needs_a_user_and_the_operators_own_page(chain: Chain) -> None:
    url = f"{chain.admin}/sign-out"
    assert chain.client.post(url, data={"user": " "}, headers=OWN).status_code == 400
    for headers in ({}, {"Origin": "https://evil.example"}, {"Host": "evil.example", **OWN}):
        assert chain.client.post(url, data={"user": "42"}, headers=headers).status_code == 403


# DELETE /session


def test_ending_a_session_ends_its_streams_and_revokes_its_token_alone(chain: Chain) -> None:
    mine, others = chain.headers("signs-out"), chain.headers("signs-out")
    with ExitStack() as stack:

        def opened(headers: dict[str, str]) -> Stream:
            response = stack.enter_context(chain.client.stream("GET", f"{chain.url}/events", headers=headers))
            stream = Stream(response)
            stack.callback(stream.close)
            stream.wait_for("stream.ready")
            return stream

        by_cookie, by_bearer, elsewhere = opened(cookie(mine)), opened(mine), opened(cookie(others))
        answer = chain.client.delete(f"{chain.url}/session", headers=cookie(mine))
        assert answer.status_code == 204
        assert "Max-Age=0" in answer.headers["set-cookie"]
        assert_revoked(by_cookie)
        assert_revoked(by_bearer)
        assert elsewhere.types == ["stream.ready"]
    for headers in (mine, cookie(mine)):
        assert status(chain, headers) == 401
        # A second time changes nothing.
        assert chain.client.delete(f"{chain.url}/session", headers=headers).status_code == 204
    assert chain.client.post(f"{chain.url}/session", headers=mine).status_code == 401
    assert status(chain, others) == 200


def test_a_bearer_token_is_revoked_as_the_cookie_is(chain: Chain) -> None:
    headers = chain.headers("by-header")
    assert chain.client.delete(f"{chain.url}/session", headers=headers).status_code == 204
    assert status(chain, cookie(headers)) == 401


def test_all_different_cookies_of_the_session_are_revoked(chain: Chain) -> None:
    tokens = [chain.headers("two cookies") for _ in range(2)]
    both = "; ".join(cookie(headers)["Cookie"] for headers in tokens)
    assert chain.client.delete(f"{chain.url}/session", headers={"Cookie": both, **OWN}).status_code == 204
    assert [status(chain, headers) for headers in tokens] == [401, 401]


def test_a_good_cookie_among_forged_ones_of_a_sibling_domain_is_revoked(chain: Chain) -> None:
    mine = chain.headers("crowded")
    forged = [jwt.encode({"n": number}, "x" * 32, algorithm="HS256") for number in range(40)]
    crowd = "; ".join(f"sse_session={each}" for each in forged)
    headers = {"Cookie": f"{crowd}; {cookie(mine)['Cookie']}", **OWN}
    assert chain.client.delete(f"{chain.url}/session", headers=headers).status_code == 204
    assert status(chain, mine) == 401


@pytest.mark.parametrize(
    "value", ["x", "a.b.c", "", f"{'x' * 3000}", "; ".join(f"sse_session={n}" for n in range(900))]
)
def test_a_cookie_that_is_no_valid_token_only_expires(chain: Chain, value: str) -> None:
    before = chain.metric("sse_revocations")
    headers = {"Cookie": f"sse_session={value}", "Authorization": "Bearer", **OWN}
    answer = chain.client.delete(f"{chain.url}/session", headers=headers)
    assert answer.status_code == 204
    assert "Max-Age=0" in answer.headers["set-cookie"]
    assert chain.metric("sse_revocations") == before


def test_a_page_of_another_origin_revokes_nothing(chain: Chain) -> None:
    headers = chain.headers("not mine to end")
    evil = {**cookie(headers), "Sec-Fetch-Site": "cross-site"}
    assert chain.client.delete(f"{chain.url}/session", headers=evil).status_code == 403
    assert status(chain, headers) == 200


# Several tasks


@pytest.fixture
def store() -> Iterator[Valkey]:
    with Valkey() as server:
        yield server


@pytest.fixture
def task(store: Valkey) -> Iterator[Callable[[], Chain]]:
    """Starts tasks that share the store, each with a queue of its own."""
    with ExitStack() as stack:

        def start() -> Chain:
            queue = stack.enter_context(queue_stub())
            return stack.enter_context(service(queue, broker_url=store.url, single_task="false"))

        yield start


def test_a_revocation_reaches_the_streams_and_tokens_of_every_task_within_five_seconds(
    task: Callable[[], Chain],
) -> None:
    one, other = task(), task()
    with one.stream() as here, other.stream() as there, other.stream("7") as bystander:
        began = time.monotonic()
        assert revoke(one, {"user": "42"}).json() == {"user": "42", "streams": 1}
        assert_revoked(here)
        assert_revoked(there)
        assert time.monotonic() - began < 5
        assert bystander.types == ["stream.ready"]
    for each in (one, other, task()):
        assert status(each, bearer(iat=int(time.time()) - 60)) == 401
        assert status(each, fresh("42")) == 200
        assert each.metric("sse_revocations") == 1
    assert one.metric('sse_streams_closed_total{reason="revoked"}') == 1


def test_a_session_that_ends_on_one_task_ends_on_every_task(task: Callable[[], Chain]) -> None:
    one, other = task(), task()
    mine = other.headers()
    with other.client.stream("GET", f"{other.url}/events", headers=cookie(mine)) as response:
        stream = Stream(response)
        stream.wait_for("stream.ready")
        assert one.client.delete(f"{one.url}/session", headers=cookie(mine)).status_code == 204
        assert_revoked(stream)
    assert status(other, mine) == 401
    assert status(other, other.headers()) == 200


def test_a_task_that_was_stopped_at_the_time_learns_of_it(task: Callable[[], Chain]) -> None:
    one, other = task(), task()
    with other.stream() as stream:
        other.process.signal(signal.SIGSTOP)
        try:
            assert revoke(one, {"user": "42"}).status_code == 200
        finally:
            other.process.signal(signal.SIGCONT)
        assert_revoked(stream)
    assert status(other, bearer(iat=int(time.time()) - 60)) == 401


def test_without_valkey_what_was_revoked_stays_refused_and_new_revocations_are_passed_on(
    store: Valkey, task: Callable[[], Chain]
) -> None:
    one, other = task(), task()
    old = {user: bearer(sub=user, iat=int(time.time()) - 60) for user in ("before", "during", "session")}
    assert revoke(one, {"user": "before"}).status_code == 200
    other.wait_for_metric("sse_revocations", 1)
    with one.stream("during") as here, other.stream("during") as there:
        store.kill()
        answer = revoke(one, {"user": "during"})
        assert answer.status_code == 503
        assert "try again until the answer is 200" in problem(answer)
        assert one.client.delete(f"{one.url}/session", headers=cookie(old["session"])).status_code == 204
        assert_revoked(here)
        assert [status(one, headers) for headers in old.values()] == [401, 401, 401]
        assert [status(other, headers) for headers in old.values()] == [401, 200, 200]
        assert there.types == ["stream.ready"]
        store.start()
        assert_revoked(there)
    assert [status(other, headers) for headers in old.values()] == [401, 401, 401]
    # The server came back without data, so the tasks have put everything back.
    later = task()
    assert [status(later, headers) for headers in old.values()] == [401, 401, 401]
    assert revoke(one, {"user": "during"}).status_code == 200
    assert one.process.output.count("revocations hold in this task only") == 1
    assert "Traceback" not in one.process.output + other.process.output
