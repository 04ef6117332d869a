"""The Lambda example says who is behind a session cookie, by the back end's table of sessions."""

from __future__ import annotations

import hashlib
import importlib.util
import json
import time
from collections.abc import Iterator
from types import ModuleType
from typing import Any

import pytest
from botocore.exceptions import ClientError

from sse_service.dev.moto_server import MotoServer
from tests.deploy.examples.files import EXAMPLES

FOREVER = 10**9
"""Seconds that a session lasts, where it does not matter."""


@pytest.fixture(scope="module")
def dynamodb() -> Iterator[str]:
    server = MotoServer()
    yield server.url
    server.stop()


@pytest.fixture
def function(dynamodb: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[ModuleType]:
    """The Lambda's module, with a table that has no sessions yet."""
    environment = {
        "AWS_ENDPOINT_URL": dynamodb,
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "NO_PROXY": "127.0.0.1",
        "SESSIONS_TABLE": "sessions",
    }
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    spec = importlib.util.spec_from_file_location("lambda_url", EXAMPLES / "lambda_url.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    client = module.sessions.meta.client
    client.create_table(
        TableName="sessions",
        KeySchema=[{"AttributeName": "id", "KeyType": "HASH"}],
        AttributeDefinitions=[{"AttributeName": "id", "AttributeType": "S"}],
        BillingMode="PAY_PER_REQUEST",
    )
    yield module
    if "sessions" in client.list_tables()["TableNames"]:
        client.delete_table(TableName="sessions")
    client.close()


def store(function: ModuleType, cookie: str, *, seconds: int = FOREVER, **fields: Any) -> None:
    """Store a session, as the back end does at sign-in."""
    key = hashlib.sha256(cookie.encode()).hexdigest()
    function.sessions.put_item(Item={"id": key, "user": "42", "expires": int(time.time()) + seconds, **fields})


def invoke(function: ModuleType, *cookies: str) -> tuple[int, Any]:
    """Call the function as its URL does (payload format 2.0)."""
    event: dict[str, Any] = {
        "version": "2.0",
        "rawPath": "/",
        "rawQueryString": "",
        "headers": {"accept": "application/json"},
        "requestContext": {"http": {"method": "GET", "path": "/"}},
        "isBase64Encoded": False,
    }
    if cookies:
        event["cookies"] = list(cookies)
    answer = function.handler(event, None)
    assert answer["headers"] == {"Content-Type": "application/json", "Cache-Control": "no-store"}
    return answer["statusCode"], json.loads(answer["body"])


@pytest.mark.parametrize("groups", [["ops", "all"], {"ops", "all"}], ids=["list", "set"])
def test_the_lambda_names_the_user_of_a_session(function: ModuleType, groups: Any) -> None:
    store(function, "secret=1", groups=groups)
    answer = invoke(function, "theme=dark", "session=secret=1")
    assert answer == (200, {"user": "42", "groups": ["all", "ops"], "expires_in": 900})


def test_the_lambda_says_when_a_session_is_over(function: ModuleType) -> None:
    store(function, "secret", seconds=60)
    status, body = invoke(function, "session=secret")
    assert (status, body["groups"]) == (200, [])
    assert 0 < body["expires_in"] <= 60


def test_the_lambda_answers_every_other_cookie_in_the_same_way(function: ModuleType) -> None:
    store(function, "secret")
    store(function, "other")
    store(function, "over", seconds=0)
    stored = hashlib.sha256(b"secret").hexdigest()
    refused = [(), ("session=",), ("session=unknown",), ("session=over",), ("Session=secret",), (f"session={stored}",)]
    refused += [("session=secret", "session=other"), ("session=secret", "session=unknown")]
    assert [invoke(function, *cookies) for cookies in refused] == [(401, {})] * len(refused)


def test_the_lambda_forgets_a_session_that_was_deleted(function: ModuleType) -> None:
    store(function, "secret")
    assert invoke(function, "session=secret")[0] == 200
    function.sessions.delete_item(Key={"id": hashlib.sha256(b"secret").hexdigest()})
    assert invoke(function, "session=secret")[0] == 401


def test_the_lambda_fails_and_does_not_answer_401_while_the_table_cannot_be_read(function: ModuleType) -> None:
    store(function, "secret")
    function.sessions.meta.client.delete_table(TableName="sessions")
    with pytest.raises(ClientError):
        invoke(function, "session=secret")
