"""When the short way is taken, when it is left, and what happens to its connections."""

from __future__ import annotations

import asyncio
import datetime
import json
import ssl
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import botocore
import pytest
import uvloop
from aiobotocore.httpsession import AIOHTTPSession
from aiobotocore.session import AioSession
from botocore import auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import ReadOnlyCredentials

from consumers.sqs.fast.client import OPERATIONS
from consumers.sqs.fast.eligible import plain_call, plain_session, plain_url
from consumers.sqs.fast.pool import Transport
from tests.integration.sqs_clients import KEYS, QUEUE, SESSION, ask, client
from tests.integration.sqs_faulty import Talk, faulty, good
from tests.integration.tls import certificates


def run(test: Callable[[], Coroutine[Any, Any, Any]]) -> Any:
    return uvloop.run(test())


def silent(talk: Talk) -> None:
    """Leave a poll open."""


@pytest.fixture
def only_short(monkeypatch: pytest.MonkeyPatch) -> None:
    """No call may go aiobotocore's own way."""

    async def send(self: AIOHTTPSession, request: Any) -> Any:
        raise AssertionError("not the short way")

    monkeypatch.setattr(AIOHTTPSession, "send", send)


@pytest.fixture
def never_short(monkeypatch: pytest.MonkeyPatch) -> None:
    async def send(self: Transport, request: bytes) -> Any:
        raise AssertionError("the short way")

    monkeypatch.setattr(Transport, "send", send)


@pytest.mark.usefixtures("only_short")
def test_plain_calls_share_one_connection_and_are_signed_as_botocore_signs(monkeypatch: pytest.MonkeyPatch) -> None:
    async def test(token: str | None) -> None:
        keys = {**KEYS, "aws_session_token": token} if token else KEYS
        async with faulty(good) as server, client(server.url, fast=True, keys=keys) as sqs:
            for operation in OPERATIONS:
                await ask(sqs, operation)
            await sqs.receive_message(QueueUrl=f"{QUEUE}-ä b%20c?d=é&f#g")
        assert server.connections == 1
        for request in server.requests:
            stamp = datetime.datetime.strptime(request.headers["x-amz-date"], "%Y%m%dT%H%M%SZ")
            monkeypatch.setattr(auth, "get_current_datetime", lambda now=stamp: now)
            unsigned = {"accept-encoding", "authorization", "content-length", "x-amz-security-token"}
            headers = {name: value for name, value in request.headers.items() if name not in unsigned}
            again = AWSRequest("POST", f"{server.url}/", headers=headers, data=request.body)
            auth.SigV4Auth(ReadOnlyCredentials("key", "secret", token), "sqs", "eu-west-1").add_auth(again)
            assert request.headers["authorization"] == again.headers["Authorization"]

    run(lambda: test(None))
    run(lambda: test("to/ken+=" * 60))


@pytest.mark.usefixtures("never_short")
@pytest.mark.parametrize(
    "options",
    [
        {"signature_version": botocore.UNSIGNED},
        {"retries": {"mode": "adaptive", "total_max_attempts": 1}},
        {"connector_args": {"use_dns_cache": False}},
        {"read_timeout": None},
        {"auth_scheme_preference": "sigv4a,sigv4"},
    ],
    ids=lambda options: next(iter(options)),
)
def test_settings_that_are_not_plain_leave_aiobotocore_alone(options: dict[str, Any]) -> None:
    async def test() -> None:
        async with faulty(good) as server, client(server.url, fast=True, **options) as sqs:
            assert (await ask(sqs, "ReceiveMessage"))[0]["Messages"]
        assert len(server.requests) == 1

    run(test)


@pytest.mark.usefixtures("never_short")
def test_a_path_and_a_proxy_leave_aiobotocore_alone() -> None:
    async def test() -> None:
        async with faulty(good) as server:
            async with client(f"{server.url}/path", fast=True) as sqs:
                assert (await ask(sqs, "ReceiveMessage"))[0]["Messages"]
            async with client("http://sqs.invalid", fast=True, proxies={"http": server.url}) as sqs:
                assert (await ask(sqs, "ReceiveMessage"))[0]["Messages"]

    run(test)


@pytest.mark.usefixtures("never_short")
def test_an_http_session_of_another_kind_is_left_alone() -> None:
    class Other(AIOHTTPSession):
        pass

    async def test() -> None:
        async with faulty(good) as server, client(server.url, fast=True, http_session_cls=Other) as sqs:
            assert (await ask(sqs, "ReceiveMessage"))[0]["Messages"]

    run(test)


@pytest.mark.parametrize(
    ("options", "plain"), [({}, True), ({"use_dualstack_endpoint": True}, True), ({"use_fips_endpoint": True}, False)]
)
def test_fips_is_not_plain(options: dict[str, Any], plain: bool) -> None:
    async def test() -> None:
        async with client(None, fast=False, **options) as sqs:
            assert (plain_session(sqs) is not None) is plain

    run(test)


@pytest.mark.parametrize(
    ("url", "plain"),
    [
        ("https://sqs.eu-west-1.amazonaws.com/", True),
        ("https://sqs.cn-north-1.amazonaws.com.cn/", True),
        ("https://sqs.eu-west-1.api.aws/", True),
        ("https://vpce-0a-1b.sqs.eu-west-1.vpce.amazonaws.com/", True),
        ("http://127.0.0.1:4566/", True),
        ("http://[::1]:4566/", False),
        ("https://a@b/", False),
        ("https://HOST/", False),
        ("https://host:443/", False),
        ("https://host/path", False),
        ("https://host/?a=b", False),
        ("https://hóst/", False),
    ],
)
def test_a_plain_url_is_a_scheme_and_a_host(url: str, plain: bool) -> None:
    assert plain_url(url, AIOHTTPSession()) is plain


@pytest.mark.parametrize(
    ("params", "context"),
    [
        ({"method": "GET"}, {}),
        ({"body": "text"}, {}),
        ({}, {"auth_type": "v4a"}),
        ({}, {"auth_type": "none"}),
        ({}, {"signing": {"region": "*"}}),
        ({}, {"payload_signing_enabled": False}),
        ({}, {"unsigned_payload": True}),
        ({}, {"read_timeout": 1}),
    ],
)
def test_a_plain_call_is_a_signed_post_of_bytes(params: dict[str, Any], context: dict[str, Any]) -> None:
    plain: dict[str, Any] = {"method": "POST", "body": b""}
    assert plain_call(plain, {"auth_type": "v4"})
    assert not plain_call({**plain, **params}, context)


def test_a_poll_that_is_cancelled_ends_its_connection_and_the_next_call_has_a_new_one() -> None:
    async def test() -> None:
        async with faulty(good, silent, good) as server, client(server.url, fast=True) as sqs:
            await ask(sqs, "ReceiveMessage")
            poll = asyncio.create_task(ask(sqs, "ReceiveMessage"))
            await server.until(lambda: len(server.requests) == 2)
            poll.cancel()
            with pytest.raises(asyncio.CancelledError):
                await poll
            await server.until(lambda: server.ended == 1)
            assert (await ask(sqs, "DeleteMessageBatch"))[0]["Successful"]
        assert [request.connection for request in server.requests] == [1, 1, 2]

    run(test)


def test_a_reply_that_nobody_asked_for_is_nobodys() -> None:
    """As an intermediary that adds a second reply would make it: the next call must not take it."""

    def twice(talk: Talk) -> None:
        good(talk)
        talk.say("200 OK", b'{"Messages": [{"MessageId": "evil", "ReceiptHandle": "r", "Body": "x"}]}')

    def late(talk: Talk) -> None:
        good(talk)
        asyncio.get_running_loop().call_soon(talk.say, "200 OK", b'{"Messages": [{"MessageId": "evil"}]}')

    async def test() -> None:
        async with faulty(twice, late, good) as server, client(server.url, fast=True) as sqs:
            for _ in range(3):
                found = (await ask(sqs, "ReceiveMessage"))[0]
                assert [message["MessageId"] for message in found["Messages"]] == ["m"]
                await server.until(lambda: server.ended == min(2, len(server.requests)))
        assert [request.connection for request in server.requests] == [1, 2, 3]

    run(test)


@pytest.mark.usefixtures("only_short")
def test_connections_that_were_idle_for_too_long_are_not_used_again() -> None:
    async def test() -> None:
        at_once = {"keepalive_timeout": -1}
        async with faulty(good) as server, client(server.url, fast=True, connector_args=at_once) as sqs:
            for _ in range(3):
                await ask(sqs, "ReceiveMessage")
            await server.until(lambda: server.ended == 3)
        assert [request.connection for request in server.requests] == [1, 2, 3]

    run(test)


def test_calls_beyond_the_bound_on_connections_go_aiobotocores_way() -> None:
    async def test() -> None:
        async with faulty(silent, good) as server, client(server.url, fast=True, max_pool_connections=1) as sqs:
            poll = asyncio.create_task(ask(sqs, "ReceiveMessage"))
            await server.until(lambda: len(server.requests) == 1)
            assert (await ask(sqs, "DeleteMessageBatch"))[0]["Successful"]
            assert "amz-sdk-request" in server.requests[1].headers
            poll.cancel()
            await asyncio.gather(poll, return_exceptions=True)

    run(test)


def test_closing_the_client_closes_the_connections() -> None:
    async def test() -> None:
        async with faulty(good) as server:
            async with client(server.url, fast=True) as sqs:
                await asyncio.gather(*[ask(sqs, "ReceiveMessage") for _ in range(3)])
            await server.until(lambda: server.ended == 3)

    run(test)


def test_tls_is_checked_as_by_aiobotocore(tmp_path: Path) -> None:
    ca, own = certificates(tmp_path)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(own)

    async def test(fast: bool, host: str, **options: Any) -> Any:
        async with faulty(good, tls=context) as server:
            async with client(server.url.replace("127.0.0.1", host), fast=fast, **options) as sqs:
                found = await ask(sqs, "ReceiveMessage")
            return found if isinstance(found, str) else found[0], len(server.requests)

    for verify, wanted in ((str(ca), 1), (False, 1), (True, 0), (str(tmp_path / "absent.pem"), 0)):
        found = run(lambda verify=verify: test(True, "localhost", verify=verify))
        assert found == run(lambda verify=verify: test(False, "localhost", verify=verify))
        assert found[1] == wanted


@pytest.mark.usefixtures("only_short")
def test_tls_is_taken_by_the_short_way_and_a_wrong_name_is_not(tmp_path: Path) -> None:
    ca, own = certificates(tmp_path)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(own)

    async def test() -> None:
        async with faulty(good, tls=context) as server:
            port = server.url.rpartition(":")[2]
            async with client(f"https://localhost:{port}", fast=True, verify=str(ca)) as sqs:
                assert (await ask(sqs, "ReceiveMessage"))[0]["Messages"]
            async with client(f"https://localhost.localdomain:{port}", fast=True, verify=str(ca)) as sqs:
                with pytest.raises(AssertionError, match="not the short way"):
                    await sqs.receive_message(QueueUrl=QUEUE)
        assert len(server.requests) == 1

    run(test)


def test_no_credentials_are_no_credentials_both_ways(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    _no_keys(monkeypatch, tmp_path)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")

    async def test(fast: bool) -> Any:
        async with faulty(good) as server, client(server.url, fast=fast, session=_session(), keys={}) as sqs:
            return await ask(sqs, "ReceiveMessage"), len(server.requests)

    assert run(lambda: test(True)) == run(lambda: test(False)) == ("NoCredentialsError", 0)


@pytest.mark.parametrize("broken", [False, True])
def test_credentials_are_refreshed_on_the_way(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, broken: bool) -> None:
    """By the address that ECS gives a task; ``broken`` ends after the first."""
    _no_keys(monkeypatch, tmp_path)

    async def test(fast: bool) -> Any:
        given = 0

        async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            nonlocal given
            await reader.readuntil(b"\r\n\r\n")
            given += 1
            # So near its end that each use asks for the next.
            ends = datetime.datetime.now(datetime.UTC) + datetime.timedelta(minutes=2)
            expiration = ends.strftime("%Y-%m-%dT%H:%M:%SZ")
            keys = {"AccessKeyId": f"key{given}", "SecretAccessKey": "s", "Token": "t", "Expiration": expiration}
            body = json.dumps({} if broken and given > 1 else keys).encode()
            writer.write(b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body))
            writer.close()

        task_role = await asyncio.start_server(answer, "127.0.0.1", 0)
        port = task_role.sockets[0].getsockname()[1]
        monkeypatch.setenv("AWS_CONTAINER_CREDENTIALS_FULL_URI", f"http://127.0.0.1:{port}/")
        async with faulty(good) as server, client(server.url, fast=fast, session=_session(), keys={}) as sqs:
            found = [await _outcome(sqs) for _ in range(3)]
        task_role.close()
        return found, [request.headers["authorization"].split("/")[0] for request in server.requests]

    ours = run(lambda: test(True))
    assert ours == run(lambda: test(False))
    if not broken:
        assert [key.rpartition("=")[2] for key in ours[1]] == ["key2", "key3", "key4"]


def _session() -> AioSession:
    """A new session, which looks for credentials, without reading the API's description from disk again."""
    session = AioSession()
    session.register_component("data_loader", SESSION.get_component("data_loader"))
    return session


async def _outcome(sqs: Any) -> Any:
    try:
        return (await ask(sqs, "ReceiveMessage"))[0]
    except Exception as error:
        return type(error).__name__


def _no_keys(monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_PROFILE", "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_CONFIG_FILE", str(folder / "none"))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(folder / "none"))
