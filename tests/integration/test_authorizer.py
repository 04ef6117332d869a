"""One's own back end says who sent a request: ``SSE_AUTHORIZER_URL`` and ``SSE_AUTHORIZER``."""

from __future__ import annotations

import asyncio
import socket
import time
import uuid
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest

from tests.integration.authorizer_backend import FAULTS
from tests.integration.chain import Chain, Stream, queue_stub, serve, service, wait_until_ready
from tests.integration.process import DEADLINE, Process
from tests.integration.test_http import problem

EVENT_STREAM = {"Accept": "text/event-stream"}


@contextmanager
def backend_process(port: int = 0) -> Iterator[tuple[Process, str]]:
    with Process("tests.integration.authorizer_backend", "--port", str(port)) as process:
        yield process, process.wait_for(r"(http://127\.0\.0\.1:\d+)")[1]


@pytest.fixture(scope="module")
def backend() -> Iterator[str]:
    """The URL of a back end."""
    with backend_process() as (_, url):
        yield url


@pytest.fixture(scope="module")
def asking(backend: str) -> Iterator[Chain]:
    """A service that asks the back end, and accepts tokens as well."""
    with (
        queue_stub() as queue,
        service(
            queue,
            authorizer_url=f"{backend}/push-user?app=1",
            cors_origins="https://app.example.com",
            max_streams_per_user="1000",
            opens_per_second="0",
        ) as running,
    ):
        yield running


@pytest.fixture(scope="module")
def without_tokens(backend: str) -> Iterator[Chain]:
    """A service that asks the back end about everybody."""
    with queue_stub() as queue, service(queue, authorizer_url=f"{backend}/push-user", jwt_secret="") as running:
        yield running


@pytest.fixture(scope="module")
def with_code() -> Iterator[Chain]:
    """A service that asks code of the operator's own."""
    with (
        queue_stub() as queue,
        service(
            queue,
            authorizer="tests.integration.authorizer_code:authorize",
            cors_origins="https://app.example.com",
        ) as running,
    ):
        yield running


def seen(backend: str, credential: str) -> list[dict[str, Any]]:
    """Return the requests that the back end got with this text in a header."""
    requests: list[dict[str, Any]] = httpx.get(
        f"{backend}/seen", params={"text": credential}, trust_env=False, timeout=DEADLINE
    ).json()
    return requests


def wait_until_seen(backend: str, credential: str, count: int = 1) -> None:
    until = time.monotonic() + DEADLINE
    while len(seen(backend, credential)) < count:
        assert time.monotonic() < until


def by_cookie(who: str, **headers: str) -> dict[str, str]:
    return {"Cookie": f"as={who}", **headers}


def opened(chain: Chain, headers: Any) -> int:
    """Request a stream with these headers, and return the status."""
    with chain.client.stream("GET", f"{chain.url}/events", headers=headers) as response:
        return response.status_code


def refused(chain: Chain, headers: Any, status: int) -> httpx.Response:
    """Request a stream that must be refused. One that is admitted would never end, so it is not read."""
    with chain.client.stream("GET", f"{chain.url}/events", headers=headers) as response:
        assert response.status_code == status
        response.read()
        return response


@contextmanager
def stream_of(chain: Chain, headers: dict[str, str]) -> Iterator[Stream]:
    with chain.client.stream("GET", f"{chain.url}/events", headers=headers) as response:
        assert response.status_code == 200
        stream = Stream(response)
        try:
            stream.wait_for("stream.ready")
            yield stream
        finally:
            stream.close()


def is_told_to_come_back(chain: Chain, headers: dict[str, str]) -> bool:
    """Whether an EventSource gets a stream that ends at once, and any other client a 503."""
    with chain.client.stream("GET", f"{chain.url}/events", headers={**headers, **EVENT_STREAM}) as response:
        assert response.status_code == 200
        assert '"reason":"limit","reconnect":true' in next(response.iter_text())
    return "retry-after" in refused(chain, headers, 503).headers


@contextmanager
def hanging_requests(chain: Chain, backend: str, count: int) -> Iterator[list[Future[httpx.Response]]]:
    """Make requests with different credentials, for which the back end hangs, and wait until it got as many as it can.

    The service has 64 places.
    """
    name = f"hang.{uuid.uuid4().hex}"
    with (
        httpx.Client(timeout=DEADLINE, trust_env=False, limits=httpx.Limits(max_connections=None)) as client,
        ThreadPoolExecutor(count) as threads,
    ):
        requests = [
            threads.submit(client.get, f"{chain.url}/events", headers=by_cookie(f"{name}.{number}"))
            for number in range(count)
        ]
        wait_until_seen(backend, name, min(count, 64))
        yield requests


# Who is admitted


def test_the_user_and_the_groups_that_the_back_end_names_get_their_events(asking: Chain) -> None:
    with stream_of(asking, by_cookie("ann")) as stream:
        asking.put("for ann", user_id="ann")
        asking.put("for others", user_id="42")
        asking.put("for the group", group="ops")
        stream.wait_for("for the group")
        assert stream.data == ["for ann", "for the group"]
        assert '"user":"ann"' in stream.messages[0].data


def test_users_and_groups_may_be_integers(asking: Chain) -> None:
    with stream_of(asking, by_cookie("integers")) as stream:
        asking.put("for 42", user_id="42")
        asking.put("for 7", group="7")
        stream.wait_for("for 7")
        assert stream.data == ["for 42", "for 7"]


def test_an_answer_may_have_64_kb_and_other_fields(asking: Chain) -> None:
    assert opened(asking, by_cookie("long-answer")) == 200


def test_the_stream_ends_when_the_answer_expires(asking: Chain) -> None:
    with stream_of(asking, by_cookie("brief")) as stream:
        stream.wait_for_end()
        assert '"expired"' in stream.messages[-1].data


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
    with stream_of(asking, by_cookie("revoked")) as stream:
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
    with stream_of(asking, by_cookie("other", Authorization=good)) as stream:
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


# What is no answer


@pytest.mark.parametrize("fault", FAULTS)
def test_an_answer_that_says_nothing_is_overload_and_never_a_401(asking: Chain, backend: str, fault: str) -> None:
    began = time.monotonic()
    assert is_told_to_come_back(asking, by_cookie(fault))
    assert time.monotonic() - began < 50  # two requests of 2 s; the slow back end takes 30 s for each
    ready = asking.get("/readyz")
    assert ready.status_code == 503
    assert ready.json()["dependencies"]["authorizer"].startswith("unavailable: it ")
    assert asking.get("/healthz").status_code == 200
    assert not [each for each in seen(backend, "sse-service") if each["path"] != "/push-user"]
    # The next good answer ends it.
    assert opened(asking, by_cookie(f"after-{fault}")) == 200
    assert asking.get("/readyz").json()["dependencies"]["authorizer"] == "ok"


def test_the_log_says_once_what_to_mend(backend: str, queue: str) -> None:
    with service(queue, authorizer_url=backend, log_level="info") as chain:
        for who in ("redirect.1", "redirect.2", "html.1", "html.2", "redirect.3", "good", "redirect.4", "good2"):
            opened(chain, by_cookie(who))
        chain.process.wait_for("the authorizer answers again, after")
        lines = [line for line in chain.process.output.splitlines() if "the authorizer " in line]
        assert [line.partition("the authorizer ")[2].split(",")[0] for line in lines] == [
            "answered 302: it must answer 401 to a request that is not signed in",
            "answered 200 without JSON: it must answer 401 to a request that is not signed in",
            "answers again",
        ]
        assert chain.metric('sse_authorizer_answers_total{answer="failed"}') == 6
        assert chain.metric('sse_authorizer_answers_total{answer="user"}') == 2
        assert chain.metric("sse_authorizer_seconds_count") == 8
        assert "redirect.1" not in chain.process.output


# A busy machine may need longer than the 2 s for which a request hangs. So these two tests may try again.


def test_a_back_end_that_hangs_delays_nobody_who_has_a_token(asking: Chain, backend: str) -> None:
    for _ in range(5):
        with hanging_requests(asking, backend, 100) as hanging:
            with asking.stream("with-a-token"):
                in_time = not any(each.done() for each in hanging)
            assert {each.result().status_code for each in hanging} == {503}
        if in_time:
            return
    raise AssertionError("the stream did not open while the others waited")


def test_a_slow_answer_delays_no_other_credential(asking: Chain, backend: str) -> None:
    for attempt in range(5):
        with hanging_requests(asking, backend, 20) as hanging:
            assert opened(asking, by_cookie(f"quick.{attempt}")) == 200
            if not any(each.done() for each in hanging):
                return
    raise AssertionError("the stream did not open while the others waited")


def test_a_storm_of_one_credential_is_one_request_to_the_back_end(asking: Chain, backend: str) -> None:
    address = urlsplit(asking.url)

    async def client() -> bool:
        reader, writer = await asyncio.open_connection(address.hostname, address.port)
        try:
            writer.write(b"GET /events HTTP/1.1\r\nHost: x\r\nCookie: as=slow.storm\r\n\r\n")
            return b"stream.ready" in await reader.readuntil(b"stream.ready")
        finally:
            writer.transport.abort()

    async def storm() -> list[bool]:
        async with asyncio.timeout(DEADLINE):
            return await asyncio.gather(*(client() for _ in range(500)))

    assert all(asyncio.run(storm()))
    assert len(seen(backend, "slow.storm")) == 1


def test_a_client_that_leaves_does_not_end_the_request_that_others_wait_for(asking: Chain, backend: str) -> None:
    address = urlsplit(asking.url)
    with socket.create_connection((address.hostname, address.port)) as leaving:
        leaving.sendall(b"GET /events HTTP/1.1\r\nHost: x\r\nCookie: as=slow.shared\r\n\r\n")
        wait_until_seen(backend, "slow.shared")
        with ThreadPoolExecutor(1) as threads:
            staying = threads.submit(opened, asking, by_cookie("slow.shared"))
            leaving.close()
            assert staying.result() == 200
    assert len(seen(backend, "slow.shared")) == 1


def test_a_back_end_that_was_away_is_asked_again_without_a_restart(queue: str) -> None:
    with backend_process() as (process, url), service(queue, authorizer_url=url) as chain:
        assert opened(chain, by_cookie("known")) == 200
        process.__exit__()
        assert is_told_to_come_back(chain, by_cookie("unknown"))
        assert chain.get("/readyz").json()["dependencies"]["authorizer"] == "unavailable: it cannot be reached"
        assert chain.get("/healthz").status_code == 200
        assert opened(chain, by_cookie("known")) == 200
        with backend_process(urlsplit(url).port or 0):
            assert opened(chain, by_cookie("unknown")) == 200
            assert chain.get("/readyz").status_code == 200
        assert len(chain.process.wait_for(r"the authorizer answers again, after \d+\.\d s")[0]) > 0


def test_a_service_whose_back_end_is_away_starts(queue: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    with service(queue, authorizer_url=f"http://127.0.0.1:{port}", jwt_secret="") as chain:
        assert is_told_to_come_back(chain, by_cookie("42"))
        with backend_process(port):
            assert opened(chain, by_cookie("42")) == 200


# Code of one's own


def test_the_code_names_the_user(with_code: Chain) -> None:
    with stream_of(with_code, {"X-Key": "ann"}) as stream:
        with_code.put("for ann", user_id="ann")
        with_code.put("for the group", group="ops")
        stream.wait_for("for the group")
        assert stream.data == ["for ann", "for the group"]


@pytest.mark.parametrize(
    ("headers", "status", "text"),
    [
        ({}, 401, "not signed in"),
        ({"X-Key": "invalid"}, 401, "this key was withdrawn"),
        ({"X-Key": "forbidden"}, 403, "this key is for reading only"),
        ({"X-Key": "bare"}, 403, "does not allow this user"),
        ({"X-Key": "ann", "Origin": "https://evil.example"}, 403, "SSE_CORS_ORIGINS"),
    ],
)
def test_the_code_refuses_with_its_own_text(with_code: Chain, headers: dict[str, str], status: int, text: str) -> None:
    response = refused(with_code, headers, status)
    assert text in problem(response)


@pytest.mark.parametrize("fault", ["broken", "text", "hang"])
def test_code_that_fails_is_overload_and_never_a_401(with_code: Chain, fault: str) -> None:
    assert is_told_to_come_back(with_code, {"X-Key": fault})
    assert with_code.get("/readyz").json()["dependencies"]["authorizer"].startswith("unavailable: it ")
    assert opened(with_code, {"X-Key": "42"}) == 200
    assert with_code.get("/readyz").status_code == 200


def test_what_the_code_raises_is_logged_with_its_traceback(with_code: Chain) -> None:
    with_code.get("/events", headers={"X-Key": "broken"})
    with_code.process.wait_for(r"the authorizer failed with KeyError\n(?s:.*)KeyError: 'a row of the table of keys'")


def test_a_token_is_not_shown_to_the_code(with_code: Chain) -> None:
    assert opened(with_code, {**with_code.headers(), "X-Key": "invalid"}) == 200
    assert opened(with_code, {"Authorization": "Bearer x", "X-Key": "ann"}) == 401


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("nowhere.push:authorize", "cannot import nowhere.push:authorize: ModuleNotFoundError"),
        ("tests.integration.authorizer_code:missing", "cannot import"),
        ("tests.integration.process:Process", "must be a coroutine function"),
    ],
)
def test_code_that_cannot_be_used_ends_the_start_with_one_line(name: str, text: str) -> None:
    env = {
        "AWS_DEFAULT_REGION": "us-east-1",
        "SSE_QUEUE_URL": "http://127.0.0.1:1/000000000000/events",
        "SSE_SINGLE_TASK": "true",
        "SSE_ADMIN_PORT": "0",
        "SSE_AUTHORIZER": name,
    }
    with Process("sse_service", "serve", "--port", "0", env=env) as process:
        assert process.wait() == 2
        [line] = process.output.splitlines()
        assert line.startswith(f"sse-service: SSE_AUTHORIZER: {name if 'must' in text else text}")
        assert text in line


def test_code_is_found_by_pythonpath(tmp_path_factory: pytest.TempPathFactory, queue: str) -> None:
    directory = tmp_path_factory.mktemp("code")
    (directory / "our_push.py").write_text(
        "class Keys:\n"
        "    async def authorize(self, connection):\n"
        "        return {'user': connection.headers['x-key'], 'expires_in': 60}\n"
        "keys = Keys()\n"
    )
    env = {
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_ENDPOINT_URL": queue,
        "PYTHONPATH": str(directory),
        "SSE_QUEUE_URL": f"{queue}/000000000000/events",
        "SSE_SINGLE_TASK": "true",
        "SSE_DRAIN_SECONDS": "1",
        "SSE_ADMIN_PORT": "0",
        "SSE_AUTHORIZER": "our_push:keys.authorize",
    }
    with serve(queue, env) as chain:
        wait_until_ready(chain)
        assert opened(chain, {"X-Key": "42"}) == 200
