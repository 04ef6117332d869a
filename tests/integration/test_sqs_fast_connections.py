"""The connections, certificates and credentials of the fast path."""

from __future__ import annotations

import asyncio
import datetime
import json
import ssl
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import pytest
import uvloop
from aiobotocore.httpsession import AIOHTTPSession
from aiobotocore.session import AioSession
from botocore import auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import ReadOnlyCredentials

from consumers.sqs.fast.status import OPERATIONS
from tests.integration.sqs_clients import KEYS, QUEUE, SESSION, ask, client
from tests.integration.sqs_scripted_server import Exchange, scripted_server, succeed
from tests.integration.tls import certificates


def run(test: Callable[[], Coroutine[Any, Any, Any]]) -> Any:
    return uvloop.run(test())


def silent(exchange: Exchange) -> None:
    """Leave the poll open."""


@pytest.fixture
def only_fast(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let every call fail that aiobotocore sends."""

    async def send(self: AIOHTTPSession, request: Any) -> Any:
        raise AssertionError("not the fast path")

    monkeypatch.setattr(AIOHTTPSession, "send", send)


@pytest.mark.usefixtures("only_fast")
def test_calls_share_one_connection_and_are_signed_as_botocore_signs(monkeypatch: pytest.MonkeyPatch) -> None:
    async def test(token: str | None) -> None:
        keys = {**KEYS, "aws_session_token": token} if token else KEYS
        async with scripted_server(succeed) as server, client(server.url, fast=True, keys=keys) as sqs:
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


def test_a_cancelled_poll_closes_its_connection_and_the_next_call_has_a_new_one() -> None:
    async def test() -> None:
        async with scripted_server(succeed, silent, succeed) as server, client(server.url, fast=True) as sqs:
            await ask(sqs, "ReceiveMessage")
            poll = asyncio.create_task(ask(sqs, "ReceiveMessage"))
            await server.until(lambda: len(server.requests) == 2)
            poll.cancel()
            with pytest.raises(asyncio.CancelledError):
                await poll
            await server.until(lambda: server.closed == 1)
            assert (await ask(sqs, "DeleteMessageBatch"))[0]["Successful"]
        assert [request.connection for request in server.requests] == [1, 1, 2]

    run(test)


def test_an_unrequested_response_is_discarded() -> None:
    """A proxy could add a second response. The next call must not take it for its own."""

    def twice(exchange: Exchange) -> None:
        succeed(exchange)
        exchange.respond("200 OK", b'{"Messages": [{"MessageId": "evil", "ReceiptHandle": "r", "Body": "x"}]}')

    def late(exchange: Exchange) -> None:
        succeed(exchange)
        asyncio.get_running_loop().call_soon(exchange.respond, "200 OK", b'{"Messages": [{"MessageId": "evil"}]}')

    async def test() -> None:
        async with scripted_server(twice, late, succeed) as server, client(server.url, fast=True) as sqs:
            for _ in range(3):
                found = (await ask(sqs, "ReceiveMessage"))[0]
                assert [message["MessageId"] for message in found["Messages"]] == ["m"]
                await server.until(lambda: server.closed == min(2, len(server.requests)))
        assert [request.connection for request in server.requests] == [1, 2, 3]

    run(test)


@pytest.mark.usefixtures("only_fast")
def test_a_connection_that_was_idle_for_too_long_is_not_used_again() -> None:
    async def test() -> None:
        at_once = {"keepalive_timeout": -1}
        async with scripted_server(succeed) as server, client(server.url, fast=True, connector_args=at_once) as sqs:
            for _ in range(3):
                await ask(sqs, "ReceiveMessage")
            await server.until(lambda: server.closed == 3)
        assert [request.connection for request in server.requests] == [1, 2, 3]

    run(test)


def test_closing_the_client_closes_the_connections() -> None:
    async def test() -> None:
        async with scripted_server(succeed) as server:
            async with client(server.url, fast=True) as sqs:
                await asyncio.gather(*[ask(sqs, "ReceiveMessage") for _ in range(3)])
            await server.until(lambda: server.closed == 3)

    run(test)


def test_certificates_are_checked_as_aiobotocore_checks_them(tmp_path: Path) -> None:
    ca, own = certificates(tmp_path)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(own)

    async def test(fast: bool, host: str, **options: Any) -> Any:
        async with scripted_server(succeed, tls=context) as server:
            async with client(server.url.replace("127.0.0.1", host), fast=fast, **options) as sqs:
                found = await ask(sqs, "ReceiveMessage")
            return found if isinstance(found, str) else found[0], len(server.requests)

    for verify, wanted in ((str(ca), 1), (False, 1), (True, 0), (str(tmp_path / "absent.pem"), 0)):
        found = run(lambda verify=verify: test(True, "localhost", verify=verify))
        assert found == run(lambda verify=verify: test(False, "localhost", verify=verify))
        assert found[1] == wanted


@pytest.mark.usefixtures("only_fast")
def test_the_fast_path_speaks_tls_and_refuses_a_wrong_name(tmp_path: Path) -> None:
    ca, own = certificates(tmp_path)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(own)

    async def test() -> None:
        async with scripted_server(succeed, tls=context) as server:
            port = server.url.rpartition(":")[2]
            async with client(f"https://localhost:{port}", fast=True, verify=str(ca)) as sqs:
                assert (await ask(sqs, "ReceiveMessage"))[0]["Messages"]
            async with client(f"https://localhost.localdomain:{port}", fast=True, verify=str(ca)) as sqs:
                with pytest.raises(AssertionError, match="not the fast path"):
                    await sqs.receive_message(QueueUrl=QUEUE)
        assert len(server.requests) == 1

    run(test)


def test_missing_credentials_are_the_same_error(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    _no_keys(monkeypatch, tmp_path)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")

    async def test(fast: bool) -> Any:
        async with (
            scripted_server(succeed) as server,
            client(server.url, fast=fast, session=_session(), keys={}) as sqs,
        ):
            return await ask(sqs, "ReceiveMessage"), len(server.requests)

    assert run(lambda: test(True)) == run(lambda: test(False)) == ("NoCredentialsError", 0)


@pytest.mark.parametrize("broken", [False, True])
def test_credentials_are_refreshed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, broken: bool) -> None:
    """Credentials come from an endpoint like the one of ECS. A ``broken`` one answers only the first request."""
    _no_keys(monkeypatch, tmp_path)

    async def test(fast: bool) -> Any:
        given = 0

        async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            nonlocal given
            await reader.readuntil(b"\r\n\r\n")
            given += 1
            # They expire so soon that each use refreshes them.
            ends = datetime.datetime.now(datetime.UTC) + datetime.timedelta(minutes=2)
            expiration = ends.strftime("%Y-%m-%dT%H:%M:%SZ")
            keys = {"AccessKeyId": f"key{given}", "SecretAccessKey": "s", "Token": "t", "Expiration": expiration}
            body = json.dumps({} if broken and given > 1 else keys).encode()
            writer.write(b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body))
            writer.close()

        task_role = await asyncio.start_server(answer, "127.0.0.1", 0)
        port = task_role.sockets[0].getsockname()[1]
        monkeypatch.setenv("AWS_CONTAINER_CREDENTIALS_FULL_URI", f"http://127.0.0.1:{port}/")
        async with (
            scripted_server(succeed) as server,
            client(server.url, fast=fast, session=_session(), keys={}) as sqs,
        ):
            found = [await _outcome(sqs) for _ in range(3)]
        task_role.close()
        return found, [request.headers["authorization"].split("/")[0] for request in server.requests]

    ours = run(lambda: test(True))
    assert ours == run(lambda: test(False))
    if not broken:
        assert [key.rpartition("=")[2] for key in ours[1]] == ["key2", "key3", "key4"]


def _session() -> AioSession:
    """Return a new session, which looks up credentials. It does not read the API's description from disk again."""
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
