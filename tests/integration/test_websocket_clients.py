"""``GET /ws`` over real sockets: what is special about WebSockets."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import aiohttp
import httpx
import pytest
import websockets

from tests.integration.chain import Chain
from tests.integration.test_stream import user

PROTOCOL = "sse-service.v1"


def socket_url(chain: Chain, query: str = "") -> str:
    return chain.url.replace("http", "ws", 1) + "/ws" + query


def connect(chain: Chain, name: str | None, query: str = "", **options: Any) -> Any:
    headers = {**(chain.headers(name) if name else {}), **options.pop("headers", {})}
    options = {"proxy": None, "additional_headers": headers, "subprotocols": [PROTOCOL], **options}
    return websockets.connect(socket_url(chain, query), **options)


async def wait_for(socket: Any, what: str) -> dict[str, Any]:
    """Return the next message that has this event or these data."""
    async with asyncio.timeout(20):
        while True:
            message: dict[str, Any] = json.loads(await socket.recv())
            if what in (message.get("event"), message["data"]):
                return message


def test_an_event_goes_from_the_queue_to_the_socket_of_its_user(chain: Chain) -> None:
    async def test() -> None:
        name = user()
        async with connect(chain, name) as socket:
            assert socket.subprotocol == PROTOCOL
            ready = await wait_for(socket, "stream.ready")
            assert json.loads(ready["data"]) == {"resumed": False, "user": name}
            assert 1000 <= ready["retry"] <= 5000
            chain.put("two\nlines", user_id=name, event_type="upload.done")
            chain.put("untyped", user_id=name)
            done = await wait_for(socket, "upload.done")
            assert done == {"event": "upload.done", "data": "two\nlines", "id": done["id"]}
            untyped = await wait_for(socket, "untyped")
            assert untyped.keys() == {"data", "id"}

    asyncio.run(test())


def test_a_socket_resumes_where_a_stream_has_ended(chain: Chain) -> None:
    async def test() -> None:
        name = user()
        with chain.stream(name) as stream:
            chain.put("a", user_id=name)
            cursor = stream.wait_for("a").id
        chain.put("b", user_id=name)
        async with connect(chain, name, f"?lastEventId={cursor}") as socket:
            ready = await wait_for(socket, "stream.ready")
            assert json.loads(ready["data"])["resumed"] is True
            assert (await wait_for(socket, "b"))["data"] == "b"

    asyncio.run(test())


def test_a_first_message_may_bring_the_token(chain: Chain) -> None:
    async def test() -> None:
        name = user()
        token = chain.headers(name)["Authorization"].removeprefix("Bearer ")
        async with connect(chain, None) as socket:
            await socket.send(json.dumps({"token": token}))
            assert json.loads((await wait_for(socket, "stream.ready"))["data"])["user"] == name

    asyncio.run(test())


@pytest.mark.parametrize(
    "message",
    ["", "x", "{}", "[]", "null", '{"token":null}', '{"token":"x"}', '{"token":"é"}', b"{}", '{"token":"a\\r\\nb"}'],
    ids=repr,
)
def test_a_first_message_without_a_good_token_closes_the_socket(chain: Chain, message: str | bytes) -> None:
    async def test() -> None:
        async with connect(chain, None) as socket:
            await socket.send(message)
            with pytest.raises(websockets.ConnectionClosed):
                await asyncio.wait_for(socket.recv(), 20)
            assert socket.close_code == 4401

    asyncio.run(test())


@pytest.mark.parametrize(
    ("changes", "status"),
    [
        ({"Upgrade": "h2c"}, 426),
        ({"Connection": "close"}, 426),
        ({"Sec-WebSocket-Version": "12"}, 426),
        ({"Sec-WebSocket-Version": ""}, 426),
        ({"Sec-WebSocket-Key": "short"}, 400),
        ({"Sec-WebSocket-Key": ""}, 400),
        ({"Sec-WebSocket-Protocol": "mqtt"}, 400),
        ({"Authorization": "Bearer bad"}, 401),
    ],
    ids=str,
)
def test_a_handshake_that_is_not_accepted_gets_an_http_answer(
    chain: Chain, changes: dict[str, str], status: int
) -> None:
    handshake = {
        "Upgrade": "websocket",
        "Connection": "Upgrade",
        "Sec-WebSocket-Version": "13",
        "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
        **chain.headers(user()),
        **changes,
    }
    answer = httpx.get(f"{chain.url}/ws", headers=handshake, trust_env=False)
    assert answer.status_code == status
    assert answer.headers["content-type"] == "application/problem+json"
    if status == 426:
        assert answer.headers["upgrade"] == "websocket"


def test_a_page_of_another_site_cannot_use_the_cookie(chain: Chain) -> None:
    async def test() -> None:
        token = chain.headers(user())["Authorization"].removeprefix("Bearer ")
        with pytest.raises(websockets.InvalidStatus) as refused:
            await connect(chain, None, origin="https://evil.example", headers={"Cookie": f"sse_session={token}"})
        assert refused.value.response.status_code == 403
        own = chain.url
        async with connect(chain, None, origin=own, headers={"Cookie": f"sse_session={token}"}) as socket:
            await wait_for(socket, "stream.ready")

    asyncio.run(test())


def frame(first: int, payload: bytes = b"", *, masked: bool = True, size: int | None = None) -> bytes:
    size = len(payload) if size is None else size
    length = bytes([size]) if size < 126 else b"\x7e" + size.to_bytes(2, "big")
    if not masked:
        return bytes([first]) + length + payload
    return bytes([first, length[0] | 0x80]) + length[1:] + b"\0\0\0\0" + payload


RUBBISH = {
    "not masked": (frame(0x81, b"x", masked=False), 1002),
    "reserved bit, as of compression": (frame(0xC1, b"x"), 1002),
    "reserved opcode": (frame(0x83, b"x"), 1002),
    "long ping": (frame(0x89, b"x" * 126), 1002),
    "fragmented ping": (frame(0x09, b"x"), 1002),
    "continuation of nothing": (frame(0x80, b"x"), 1002),
    "new message in a message": (frame(0x01, b"x") + frame(0x81, b"x"), 1002),
    "close code of 1 byte": (frame(0x88, b"x"), 1002),
    "close code 1006": (frame(0x88, (1006).to_bytes(2, "big")), 1002),
    "not UTF-8": (frame(0x81, b"\xff"), 1007),
    "too long": (frame(0x81, b"x" * 1025), 1009),
    "too long in fragments": (frame(0x01, b"x" * 1000) + frame(0x80, b"x" * 1000), 1009),
    "too long, and not sent": (frame(0x81, b"", size=60_000), 1009),
}


@pytest.mark.parametrize(("sent", "code"), RUBBISH.values(), ids=RUBBISH.keys())
def test_rubbish_closes_the_socket_with_the_code_of_the_rfc(chain: Chain, sent: bytes, code: int) -> None:
    async def test() -> None:
        async with connect(chain, user(), close_timeout=1) as socket:
            await wait_for(socket, "stream.ready")
            socket.transport.write(sent)
            with pytest.raises(websockets.ConnectionClosed):
                await asyncio.wait_for(socket.recv(), 20)
            assert socket.close_code == code

    asyncio.run(test())


def test_what_a_client_sends_is_ignored_and_its_pings_are_answered(chain: Chain) -> None:
    async def test() -> None:
        name = user()
        async with connect(chain, name) as socket:
            await wait_for(socket, "stream.ready")
            await socket.send("x" * 1024)
            await socket.send(b"\xff" * 1024)
            socket.transport.write(frame(0x01, b"a") + frame(0x89, b"p") + frame(0x80, b"b"))
            async with asyncio.timeout(20):
                await (await socket.ping())
            chain.put("a", user_id=name)
            await wait_for(socket, "a")

    asyncio.run(test())


def test_a_client_that_closes_is_answered_and_counted(chain: Chain) -> None:
    async def test() -> None:
        async with connect(chain, user()) as socket:
            await wait_for(socket, "stream.ready")
        assert socket.close_code == 1000

    asyncio.run(test())
    chain.wait_for_metric("sse_streams_open", 0)


def test_aiohttp_gets_events_pings_and_heartbeats(chain: Chain) -> None:
    async def test() -> None:
        name = user()
        async with (
            aiohttp.ClientSession(headers=chain.headers(name)) as session,
            session.ws_connect(f"{chain.url}/ws?heartbeat=event", autoping=False, protocols=[PROTOCOL]) as socket,
        ):
            kinds = set()
            async with asyncio.timeout(20):
                while kinds != {"ping", "stream.ready", "stream.heartbeat"}:
                    message = await socket.receive()
                    kinds.add("ping" if message.type is aiohttp.WSMsgType.PING else message.json()["event"])

    asyncio.run(test())
