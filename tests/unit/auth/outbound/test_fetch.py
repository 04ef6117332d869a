"""What may be fetched, from where, and how much of it. The servers here are real."""

from __future__ import annotations

import asyncio
import socket
import ssl
import threading
import time
import zlib
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from sse_service.auth.outbound.fetch import MAX_BYTES, MAX_LOOKUPS, Document, FetchError, fetch, fetch_json
from tests.integration.process import DEADLINE
from tests.integration.tls import certificates
from tests.unit.auth.outbound.http_server import Handler, http_server
from tests.unit.task import wait_until


def fetched(handler: Handler, path: str = "/keys", **options: Any) -> tuple[dict[str, Any], int | None]:
    async def body() -> tuple[dict[str, Any], int | None]:
        async with http_server(handler) as url:
            found, document = await fetch_json(url + path, **options)
            return found, document.max_age

    return asyncio.run(body())


def refused(handler: Handler, path: str = "/keys", **options: Any) -> str:
    with pytest.raises(FetchError) as caught:
        fetched(handler, path, **options)
    assert str(caught.value).startswith("127.0.0.1: ")
    return caught.value.cause


def refused_url(url: str) -> str:
    with pytest.raises(FetchError) as caught:
        asyncio.run(fetch_json(url))
    assert "secret" not in str(caught.value)
    return caught.value.cause


def answering(body: bytes | str, status: int = 200, **headers: str) -> Handler:
    async def handler(_: web.Request) -> web.StreamResponse:
        return web.Response(
            body=body, status=status, headers={name.replace("_", "-"): value for name, value in headers.items()}
        )

    return handler


def test_a_json_object_is_fetched_and_asked_for_uncompressed_without_cookies() -> None:
    async def handler(request: web.Request) -> web.StreamResponse:
        assert request.headers["Accept"] == "application/json"
        assert request.headers["Accept-Encoding"] == "identity"
        assert "Cookie" not in request.headers
        assert "Authorization" not in request.headers
        return web.Response(body=b'{"keys":[]}')

    assert fetched(handler) == ({"keys": []}, None)


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        ("max-age=600", 600),
        ("public, Max-Age=86400, must-revalidate", 86400),
        ('private,max-age="60"', 60),
        ("no-cache", 0),
        ("no-store, must-revalidate", 0),
        ("max-age=600, no-transform", 600),
        ("s-maxage=600", None),
        ("max-age=-1", None),
        ("max-age=soon", None),
        ("", None),
    ],
)
def test_cache_control_says_how_long_it_may_be_kept(header: str, seconds: int | None) -> None:
    assert fetched(answering("{}", Cache_Control=header))[1] == seconds


@pytest.mark.parametrize(
    "body",
    ["<!doctype html><title>Sign in</title>", "", "[]", "null", "7", "{", '{"a":NaN}', "[" * 100_000, b"\xff{}"],
)
def test_what_is_no_json_object_is_refused(body: bytes | str) -> None:
    assert refused(answering(body)) == "its answer is not a JSON object"


@pytest.mark.parametrize("status", [201, 204, 304, 401, 403, 404, 429, 500, 503])
def test_only_the_status_200_is_an_answer(status: int) -> None:
    assert refused(answering("{}" if status not in (204, 304) else b"", status=status)) == f"it answered {status}"


def test_a_large_answer_is_refused() -> None:
    assert refused(answering(b'{"a":"' + b"x" * 2 * MAX_BYTES + b'"}')) == "its answer has more than 1,000,000 bytes"
    assert fetched(answering(b'{"a":"' + b"x" * (MAX_BYTES - 8) + b'"}'))[0]["a"]


def test_an_answer_without_end_is_read_up_to_the_limit_only() -> None:
    written = 0

    async def handler(request: web.Request) -> web.StreamResponse:
        nonlocal written
        response = web.StreamResponse()
        await response.prepare(request)
        while True:
            await response.write(b" " * 100_000)
            written += 100_000

    assert refused(handler) == "its answer has more than 1,000,000 bytes"
    # The rest is what the kernel's buffers hold.
    assert written < 50 * MAX_BYTES


def test_a_compressed_answer_is_not_unpacked() -> None:
    bomb = zlib.compress(b" " * 100_000_000)
    assert len(bomb) < MAX_BYTES
    assert refused(answering(bomb, Content_Encoding="deflate")) == "its answer is not a JSON object"


def test_a_slow_drip_is_ended_by_the_limit_for_the_whole_fetch() -> None:
    async def handler(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        while True:
            await response.write(b" ")
            await asyncio.sleep(0.01)

    assert refused(handler, seconds=0.2) == "no complete answer within 0.2 s"


def test_slow_redirects_share_one_limit() -> None:
    async def handler(request: web.Request) -> web.StreamResponse:
        await asyncio.sleep(0.15)
        return web.Response(status=302, headers={"Location": request.path + "x"})

    assert refused(handler, seconds=0.2) == "no complete answer within 0.2 s"


def test_a_redirect_on_the_same_host_is_followed() -> None:
    async def handler(request: web.Request) -> web.StreamResponse:
        if request.path == "/keys":
            return web.Response(status=301, headers={"Location": "/v2/keys?x=1"})
        return web.json_response({"path": request.path_qs})

    assert fetched(handler)[0] == {"path": "/v2/keys?x=1"}


def test_three_redirects_are_followed_and_four_are_not() -> None:
    async def handler(request: web.Request) -> web.StreamResponse:
        left = int(request.path[1:])
        return web.json_response({}) if left == 0 else web.Response(status=307, headers={"Location": f"/{left - 1}"})

    assert fetched(handler, "/3")[0] == {}
    assert refused(handler, "/4") == "it redirects more than 3 times"


@pytest.mark.parametrize(
    "location",
    [
        "https://evil.example/keys",
        "http://169.254.169.254/latest/meta-data/",
        "//evil.example/keys",
        "http://localhost:1/keys",
        "http://127.0.0.1:1/keys",
        "http://[::1]/keys",
        "file:///etc/passwd",
        "data:application/json,{}",
        "http://[",
    ],
)
def test_a_redirect_elsewhere_is_not_followed(location: str) -> None:
    cause = refused(answering("", status=302, Location=location))
    assert cause in ("it redirects to another host, which is not followed", "its URL is not valid")


def test_a_redirect_without_a_place_is_told() -> None:
    assert refused(answering("", status=302)) == "it redirects without saying where"
    assert refused(answering("", status=302, Location="")) == "it redirects without saying where"


def test_the_date_of_the_server_is_kept_with_the_local_times() -> None:
    async def body() -> Document:
        async with http_server(answering("{}", Date="Mon, 05 Jan 2026 12:00:00 GMT")) as url:
            return await fetch(url, accept="*/*")

    began = time.time()
    document = asyncio.run(body())
    assert document.date == "Mon, 05 Jan 2026 12:00:00 GMT"
    assert began <= document.sent <= document.received <= time.time()


@pytest.mark.parametrize(
    "host",
    ["169.254.169.254", "[fe80::1]", "[fd00:ec2::254]", "[::ffff:169.254.169.254]", "2852039166", "0xa9fea9fe"],
)
def test_no_connection_is_made_to_link_local_and_metadata_addresses(host: str) -> None:
    assert "link-local" in refused_url(f"https://{host}/latest/meta-data/")


@pytest.mark.parametrize("address", ["169.254.169.254", "fe80::1%lo", "64:ff9b::a9fe:a9fe", "::ffff:169.254.170.2"])
def test_a_name_that_leads_to_such_an_address_is_refused(monkeypatch: pytest.MonkeyPatch, address: str) -> None:
    def getaddrinfo(*_: object, **__: object) -> list[Any]:
        inside = (socket.AF_INET, socket.SOCK_STREAM, 6, "", ("10.0.0.1", 443))
        if ":" in address:
            return [inside, (socket.AF_INET6, socket.SOCK_STREAM, 6, "", (address, 443, 0, 0))]
        return [inside, (socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, 443))]

    # Only a name server of an attacker could produce this.
    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
    assert "link-local" in refused_url("https://login.example.com/keys")


def test_name_servers_that_do_not_answer_hold_up_nobody_else_and_few_threads(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    answering_again = threading.Event()
    real = socket.getaddrinfo

    def getaddrinfo(host: Any, *arguments: Any, **options: Any) -> Any:
        if host == "login.example.com":
            assert answering_again.wait(DEADLINE)
        return real("127.0.0.1" if host == "login.example.com" else host, *arguments, **options)

    async def body() -> None:
        loop = asyncio.get_running_loop()
        # With one thread, a look-up that waits in it is noticed at once.
        loop.set_default_executor(ThreadPoolExecutor(max_workers=1))
        fetches = [fetch_json("https://login.example.com/keys", seconds=1) for _ in range(MAX_LOOKUPS - 1)]
        causes = await asyncio.gather(*fetches, return_exceptions=True)
        assert {str(cause) for cause in causes} == {"login.example.com: no complete answer within 1 s"}
        assert await asyncio.wait_for(loop.getaddrinfo("localhost", 80), DEADLINE / 2)
        async with http_server(answering("{}")) as url:
            assert (await fetch_json(url.replace("127.0.0.1", "localhost")))[0] == {}
        await wait_until(lambda: len(lookups()) == MAX_LOOKUPS - 1)
        last = [fetch_json("https://login.example.com/keys", seconds=1) for _ in range(10)]
        causes = await asyncio.gather(*last, return_exceptions=True)
        assert sum("the name servers do not answer" in str(cause) for cause in causes) == 9
        assert len(lookups()) == MAX_LOOKUPS
        answering_again.set()
        await wait_until(lambda: not lookups())

    # Only a name server that is away could produce this.
    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
    try:
        asyncio.run(body())
    finally:
        answering_again.set()


def lookups() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name.startswith("identity-lookup")]


@pytest.mark.parametrize(
    "url",
    ["http://login.example.com/keys", "http://10.0.0.1/keys", "ftp://127.0.0.1/keys", "http://localhost.evil.example"],
)
def test_plain_http_is_for_this_machine_only(url: str) -> None:
    assert refused_url(url) == "its URL must use https"


@pytest.mark.parametrize(
    "url", ["https://user:secret@127.0.0.1/keys", "https:///keys", "https://[::1/keys", "https://"]
)
def test_a_url_that_is_not_valid_is_refused(url: str) -> None:
    assert refused_url(url) == "its URL is not valid"


def test_a_host_that_does_not_listen_is_named_without_its_port_and_path() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    with pytest.raises(FetchError) as caught:
        asyncio.run(fetch_json(f"http://127.0.0.1:{port}/keys?token=secret"))
    assert str(caught.value) == "127.0.0.1: it cannot be reached"


def test_a_name_that_does_not_exist_is_told() -> None:
    assert refused_url("https://login.invalid/keys") == "its name cannot be looked up"


def test_a_certificate_of_an_unknown_authority_is_refused(tmp_path: Path) -> None:
    _, certificate = certificates(tmp_path)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)

    async def body() -> None:
        async with await asyncio.start_server(lambda _, writer: writer.close(), "127.0.0.1", 0, ssl=context) as server:
            await fetch_json(f"https://127.0.0.1:{server.sockets[0].getsockname()[1]}/keys")

    with pytest.raises(FetchError, match="its certificate is not valid or not trusted"):
        asyncio.run(body())


def test_a_server_without_tls_is_told() -> None:
    async def body() -> None:
        async with http_server(answering("{}")) as url:
            await fetch_json(url.replace("http:", "https:"))

    with pytest.raises(FetchError, match="the TLS handshake failed"):
        asyncio.run(body())


@pytest.mark.parametrize(
    ("answer", "cause"),
    [
        (b"", "the connection failed"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n{}", "the connection failed"),
        (b"SSH-2.0-x\r\n\r\n", "what it sent is not HTTP"),
    ],
)
def test_a_connection_that_breaks_is_told(answer: bytes, cause: str) -> None:
    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(answer)
        writer.close()

    async def body() -> None:
        async with await asyncio.start_server(talk, "127.0.0.1", 0) as server:
            await fetch_json(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/keys")

    with pytest.raises(FetchError, match=cause):
        asyncio.run(body())


def test_any_text_can_be_fetched_within_the_same_limits() -> None:
    async def body() -> bytes:
        async with http_server(answering("-----BEGIN PUBLIC KEY-----")) as url:
            return (await fetch(f"{url}/kid", accept="text/plain")).body

    assert asyncio.run(body()) == b"-----BEGIN PUBLIC KEY-----"
