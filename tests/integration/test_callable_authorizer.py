"""A service that asks code of the operator's own (``SSE_AUTHORIZER``)."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.integration.authorizer_chain import (
    is_told_to_come_back,
    opened,
    refused,
)
from tests.integration.chain import Chain, queue_stub, serve, service, wait_until_ready
from tests.integration.process import Process
from tests.integration.test_http import problem


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


def test_the_code_names_the_user(with_code: Chain) -> None:
    with with_code.stream_with({"X-Key": "ann"}) as stream:
        with_code.put("for ann", user_id="ann")
        with_code.put("for the group", group="ops")
        stream.wait_for("for the group")
        assert stream.data == ["for ann", "for the group"]


def test_a_stream_of_a_user_whom_the_code_named_may_come_back_when_it_expires(with_code: Chain) -> None:
    with with_code.stream_with({"X-Key": "brief"}) as stream:
        stream.wait_for_end()
        assert '"reason":"expired","reconnect":true' in stream.messages[-1].data


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


@pytest.mark.parametrize("fault", ["broken", "text", "hang", "exit"])
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
