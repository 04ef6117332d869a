"""What the environment says about proxies and passwords, for each client that makes requests for identity."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
from aiohttp import web

from sse_service.auth.authorizer.answer import AuthorizerFailure
from sse_service.auth.authorizer.credentials import Credentials
from sse_service.auth.authorizer.request import ask, open_session
from sse_service.auth.outbound.fetch import FetchError, fetch_json
from sse_service.auth.outbound.proxies import proxy_for
from tests.unit.auth.outbound.http_server import http_server
from tests.unit.auth.outbound.proxy import proxy, set_proxy

ANSWER = b'{"user":"42","expires_in":900}'
RESPONSE = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(ANSWER), ANSWER)

Get = Callable[[str], Awaitable[object]]


async def get_user(url: str) -> object:
    async with open_session() as session:
        return await ask(session, url, Credentials("s=1", ""))


@pytest.fixture(params=[fetch_json, get_user], ids=["keys", "authorizer"])
def get(request: pytest.FixtureRequest) -> Get:
    client: Get = request.param
    return client


def test_the_password_of_netrc_is_sent_to_nobody(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, get: Get) -> None:
    (tmp_path / "netrc").write_text("machine 127.0.0.1 login root password secret\n")
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    asked: list[web.Request] = []

    async def answer(request: web.Request) -> web.StreamResponse:
        asked.append(request)
        return web.Response(body=ANSWER)

    async def body() -> None:
        async with http_server(answer) as url:
            await get(url)

    asyncio.run(body())
    assert ["Authorization" in request.headers for request in asked] == [False]


def test_a_request_goes_through_the_proxy_of_the_environment(monkeypatch: pytest.MonkeyPatch, get: Get) -> None:
    async def body() -> None:
        async with proxy(monkeypatch, RESPONSE) as asked:
            await get("http://127.0.0.1:1/keys")
            assert asked[0].startswith("GET http://127.0.0.1:1/keys HTTP/1.1\r\n")

    asyncio.run(body())


def test_a_request_over_tls_asks_the_proxy_for_a_tunnel_with_the_proxys_password(
    monkeypatch: pytest.MonkeyPatch, get: Get
) -> None:
    async def body() -> None:
        async with proxy(monkeypatch, b"HTTP/1.1 502 Bad Gateway\r\nContent-Length: 0\r\n\r\n") as asked:
            with pytest.raises((FetchError, AuthorizerFailure)) as caught:
                await get("https://login.example.com/keys")
            assert asked[0].startswith("CONNECT login.example.com:443 HTTP/1.1\r\n")
            assert "\r\nProxy-Authorization: Basic dXNlcjpzZWNyZXQ=\r\n" in asked[0]
        assert "proxy" in str(caught.value)
        assert "secret" not in repr(caught.value)

    asyncio.run(body())


@pytest.mark.parametrize("form", ["http://user:secret@127.0.0.1:{}", "user:secret@127.0.0.1:{}"])
def test_the_password_of_a_proxy_that_cannot_be_used_is_in_no_text(
    monkeypatch: pytest.MonkeyPatch, get: Get, form: str
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    set_proxy(monkeypatch, form.format(port))
    with pytest.raises((FetchError, AuthorizerFailure), match="proxy") as caught:
        asyncio.run(get("https://login.example.com/keys"))
    assert "secret" not in repr(caught.value)


@pytest.mark.parametrize(
    "url",
    ["http://[::1", "http://user:secret@proxy:port", "http://user:secret@proxy:99999", "socks5://proxy:1", "http://"],
)
def test_a_malformed_url_of_the_proxy_is_told_apart_from_that_of_the_document(
    monkeypatch: pytest.MonkeyPatch, url: str
) -> None:
    set_proxy(monkeypatch, url)
    with pytest.raises(FetchError) as caught:
        asyncio.run(fetch_json("https://login.example.com/keys"))
    assert caught.value.cause == "the URL of the proxy (HTTPS_PROXY, HTTP_PROXY) is not valid"


def test_a_proxy_whose_name_does_not_exist_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    set_proxy(monkeypatch, "http://user:secret@proxy.invalid:3128")
    with pytest.raises(FetchError) as caught:
        asyncio.run(fetch_json("https://login.example.com/keys"))
    assert caught.value.cause == "the proxy's name cannot be looked up"


def test_a_host_in_no_proxy_is_asked_directly(monkeypatch: pytest.MonkeyPatch) -> None:
    set_proxy(monkeypatch, "http://proxy.example:3128", no_proxy="internal.example.com")
    assert proxy_for("https://internal.example.com/push-user") is None
    assert proxy_for("https://login.example.com/keys") == "http://proxy.example:3128"
