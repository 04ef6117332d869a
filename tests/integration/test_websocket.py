"""``GET /ws`` on real connections: what is special about WebSocket."""

from __future__ import annotations

import json
import struct
from collections.abc import Mapping

import pytest

from tests.integration.chain import Chain
from tests.integration.test_stream import user
from tests.integration.websocket_wire import BINARY, CLOSE, CONT, PING, PONG, TEXT, frame, handshake, opened, wire

ALLOWED = "https://app.example.com"


def token(chain: Chain, name: str) -> str:
    return chain.headers(name)["Authorization"].removeprefix("Bearer ")


def first_message(text: str) -> bytes:
    return frame(TEXT, json.dumps({"token": text}).encode())


# The opening handshake


def test_the_handshake_is_answered_as_rfc_6455_computes_it(chain: Chain) -> None:
    headers = {**chain.headers(user()), "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ=="}
    with wire(chain.url) as connection:
        connection.send(handshake(headers=headers))
        lines = connection.head().split("\r\n")
    # RFC 6455 §1.3 has this key and this answer.
    assert lines[0] == "HTTP/1.1 101 Switching Protocols"
    assert "Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=" in lines
    assert not any("Extensions" in line or "Protocol:" in line for line in lines)


def test_the_subprotocol_is_selected_if_it_is_offered(chain: Chain) -> None:
    headers = {**chain.headers(user()), "Sec-WebSocket-Protocol": "other, sse-service.v1"}
    with wire(chain.url) as connection:
        connection.send(handshake(headers=headers))
        assert "Sec-WebSocket-Protocol: sse-service.v1" in connection.head()


@pytest.mark.parametrize(
    ("headers", "status", "expected"),
    [
        ({"Upgrade": None, "Connection": None}, 426, "Upgrade: websocket"),
        ({"Upgrade": "h2c", "Connection": "Upgrade"}, 426, "Upgrade: websocket"),
        ({"Connection": "keep-alive"}, 426, "Upgrade: websocket"),
        ({"Sec-WebSocket-Version": "8"}, 426, "Sec-WebSocket-Version: 13"),
        ({"Sec-WebSocket-Version": None}, 426, "Sec-WebSocket-Version: 13"),
        ({"Sec-WebSocket-Key": None}, 400, "problem+json"),
        ({"Sec-WebSocket-Key": "short"}, 400, "problem+json"),
        ({"Sec-WebSocket-Protocol": "graphql-ws"}, 400, "problem+json"),
        ({"Authorization": "Bearer x.y.z"}, 401, "WWW-Authenticate"),
    ],
    ids=["no upgrade", "h2c", "no connection", "version 8", "no version", "no key", "bad key", "subprotocol", "token"],
)
def test_a_handshake_that_is_not_valid_is_refused_by_an_http_answer(
    chain: Chain, headers: Mapping[str, str | None], status: int, expected: str
) -> None:
    with wire(chain.url) as connection:
        connection.send(handshake(headers={**chain.headers(user()), **headers}))
        head = connection.head()
    assert head.startswith(f"HTTP/1.1 {status} ")
    assert expected.lower() in head.lower()


@pytest.mark.parametrize("method", ["HEAD", "POST"])
def test_another_method_opens_no_socket(chain: Chain, method: str) -> None:
    with wire(chain.url) as connection:
        connection.send(handshake(headers=chain.headers(user()), method=method))
        assert connection.head().split()[1] in ("405", "426")


def test_a_malformed_query_is_refused_before_the_handshake_with_and_without_a_credential(chain: Chain) -> None:
    for headers in (chain.headers(user()), {}):
        with wire(chain.url) as connection:
            connection.send(handshake("/ws?types=", headers))
            assert connection.head().startswith("HTTP/1.1 400 ")


def test_what_a_client_sends_right_behind_its_handshake_is_not_lost(chain: Chain) -> None:
    with wire(chain.url) as connection:
        connection.send(handshake(headers=chain.headers(user())) + frame(PING, b"early"))
        assert connection.head().startswith("HTTP/1.1 101 ")
        assert connection.until(PONG).payload == b"early"


def test_a_request_behind_one_whose_upgrade_is_ignored_is_answered(chain: Chain) -> None:
    upgrade = "GET /healthz HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n"
    with wire(chain.url) as connection:
        connection.send(upgrade.encode() + b"GET /nothing HTTP/1.1\r\nHost: x\r\n\r\n")
        assert connection.head().startswith("HTTP/1.1 200 ")
        assert "HTTP/1.1 404 " in connection.head()


# Messages


def test_messages_have_the_fields_of_a_block(chain: Chain) -> None:
    name = user()
    with opened(chain.url, chain.headers(name)) as socket:
        ready = socket.until_event("stream.ready")
        assert json.loads(ready["data"]) == {"resumed": False, "user": name}
        assert 1000 <= ready["retry"] <= 5000
        chain.put("line 1\r\nline 2", user_id=name, event_type="upload.done")
        event = socket.until_event("upload.done")
        assert event == {"event": "upload.done", "data": "line 1\r\nline 2", "id": event["id"]}
        chain.put("untyped", user_id=name)
        untyped = socket.until(TEXT).message
        assert untyped == {"data": "untyped", "id": untyped["id"]}
    with opened(chain.url, chain.headers(name), path=f"/ws?lastEventId={event['id']}") as socket:
        assert json.loads(socket.until_event("stream.ready")["data"])["resumed"] is True
        assert socket.until(TEXT).message == untyped


@pytest.mark.parametrize("size", [1, 125, 126, 65_000, 70_000])
def test_a_message_of_any_length_has_a_right_header(chain: Chain, size: int) -> None:
    name = user()
    with opened(chain.url, chain.headers(name)) as socket:
        socket.until_event("stream.ready")
        chain.put("x" * size, user_id=name, event_type="t")
        assert len(socket.until_event("t")["data"]) == size


def test_a_silent_socket_is_pinged_and_told_of_heartbeats_if_it_asked(chain: Chain) -> None:
    with opened(chain.url, chain.headers(user()), path="/ws?heartbeat=event") as socket:
        first = socket.frame().message
        assert first == {"event": "stream.heartbeat", "data": '{"seconds":15}'}
        socket.until_event("stream.ready")
        assert socket.until(PING).payload == b""
        assert socket.until(TEXT).message == first


# What a client sends


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (frame(TEXT, b"x" * 1025), 1009),
        (frame(TEXT, b"x" * 70_000), 1009),
        (frame(TEXT, b"x" * 600, fin=False) + frame(CONT, b"x" * 600), 1009),
        (frame(BINARY, b"x" * 1025), 1009),
        (frame(TEXT, b"x", masked=False), 1002),
        (frame(TEXT, b"x", rsv=4), 1002),
        (frame(TEXT, b"x", rsv=1), 1002),
        (frame(3), 1002),
        (frame(11), 1002),
        (frame(CONT, b"x"), 1002),
        (frame(TEXT, b"x", fin=False) + frame(TEXT, b"x"), 1002),
        (frame(PING, b"x" * 126), 1002),
        (frame(PING, fin=False), 1002),
        (frame(CLOSE, b"x"), 1002),
        (frame(CLOSE, struct.pack("!H", 1005)), 1002),
        (frame(CLOSE, struct.pack("!H", 999)), 1002),
        (frame(CLOSE, struct.pack("!H", 1000) + b"\xff"), 1007),
        (frame(TEXT, b"\xff"), 1007),
        (frame(TEXT, b"\xc3", fin=False) + frame(CONT, b"x"), 1007),
        (b"GET / HTTP/1.1\r\n\r\n", 1002),
        (bytes(5000), 1002),
    ],
    ids=[
        *("a long text", "a very long text", "long fragments", "a long binary", "unmasked", "compressed"),
        *("a reserved bit", "a reserved opcode", "a reserved control opcode", "nothing to continue"),
        *("a text within a text", "a long ping", "a fragmented ping", "a close of one byte", "code 1005", "code 999"),
        *("a close that is not UTF-8", "a text that is not UTF-8", "fragments that are not UTF-8", "HTTP", "zeros"),
    ],
)
def test_rubbish_is_answered_by_the_close_code_of_rfc_6455(chain: Chain, data: bytes, code: int) -> None:
    with opened(chain.url, chain.headers(user())) as socket:
        socket.until_event("stream.ready")
        socket.send(data)
        assert socket.until(CLOSE).code == code
        assert socket.at_end()


@pytest.mark.parametrize(
    "data",
    [
        frame(TEXT, b"x" * 1024),
        frame(BINARY, b"\xff" * 1024),
        frame(TEXT, b"x" * 500, fin=False) + frame(PING) + frame(CONT, b"x" * 500),
        frame(TEXT, "é".encode()[:1], fin=False) + frame(CONT, "é".encode()[1:]),
        frame(PONG, b"unsolicited"),
        frame(TEXT, b'{"token": "x"}'),
    ],
    ids=["a text", "a binary", "fragments around a ping", "a split character", "a pong", "a token"],
)
def test_what_a_client_sends_besides_is_ignored(chain: Chain, data: bytes) -> None:
    with opened(chain.url, chain.headers(user())) as socket:
        socket.until_event("stream.ready")
        socket.send(data + frame(PING, b"still here"))
        while (answer := socket.until(PONG).payload) != b"still here":
            assert answer == b""


def test_a_flood_of_pings_is_answered_in_order_and_disturbs_nobody(chain: Chain) -> None:
    name = user()
    with (
        opened(chain.url, chain.headers(user())) as flooding,
        opened(chain.url, chain.headers(name)) as other,
    ):
        other.until_event("stream.ready")
        flooding.send(b"".join(frame(PING, b"%d" % number) for number in range(5000)))
        chain.put("a", user_id=name, event_type="t")
        assert other.until_event("t")["data"] == "a"
        for number in range(5000):
            assert flooding.until(PONG).payload == b"%d" % number


# Closing


@pytest.mark.parametrize("payload", [b"", struct.pack("!H", 1000), struct.pack("!H", 3000) + b"bye"])
def test_a_clients_close_is_echoed_and_ends_the_connection(chain: Chain, payload: bytes) -> None:
    # The sockets of other tests may still be ending.
    chain.wait_for_metric("sse_streams_open", 0)
    before = chain.metric('sse_streams_closed_total{reason="client"}')
    with opened(chain.url, chain.headers(user())) as socket:
        socket.until_event("stream.ready")
        socket.send(frame(CLOSE, payload))
        assert socket.until(CLOSE).payload == payload
        assert socket.at_end()
    chain.wait_for_metric('sse_streams_closed_total{reason="client"}', before + 1)


def test_an_expired_token_closes_with_4401(chain: Chain) -> None:
    with opened(chain.url, chain.headers(user(), ttl_seconds=2)) as socket:
        assert json.loads(socket.until_event("stream.close")["data"]) == {"reason": "expired", "reconnect": False}
        assert socket.frame().code == 4401
        socket.send(frame(CLOSE, struct.pack("!H", 4401)))
        assert socket.at_end()


# Who it is


def test_a_client_may_send_its_token_in_the_first_message(chain: Chain) -> None:
    name = user()
    with opened(chain.url, path="/ws?heartbeat=event") as socket:
        # A token with groups can be longer than any later message.
        groups = [f"a-group-with-a-long-name-{number}" for number in range(50)]
        long = chain.headers(name, groups=groups)["Authorization"].removeprefix("Bearer ")
        assert len(long) > 1024
        socket.send(first_message(long))
        assert json.loads(socket.until_event("stream.ready")["data"])["user"] == name
        socket.send(frame(TEXT, b"x" * 1025))
        assert socket.until(CLOSE).code == 1009


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (first_message("x.y.z"), 4401),
        (first_message("x\r\nHost: y"), 4401),
        (first_message(""), 4401),
        (frame(TEXT, b"hello"), 4401),
        (frame(TEXT, b"[]"), 4401),
        (frame(TEXT, b'{"token": 1}'), 4401),
        (frame(BINARY, b'{"token": "x.y.z"}'), 4401),
        (frame(TEXT, b"x" * 16_385), 1009),
    ],
    ids=["a bad token", "a line end", "an empty token", "a text", "a list", "a number", "binary", "a long text"],
)
def test_a_first_message_without_a_good_token_is_refused(chain: Chain, data: bytes, code: int) -> None:
    with opened(chain.url) as socket:
        socket.send(data)
        assert socket.frame().code == code


def test_a_token_with_too_many_groups_is_refused_as_forbidden(chain: Chain) -> None:
    groups = [str(number) for number in range(101)]
    with opened(chain.url) as socket:
        socket.send(first_message(chain.headers(user(), groups=groups)["Authorization"].removeprefix("Bearer ")))
        assert socket.frame().code == 4403


def test_a_client_that_leaves_before_its_first_message_leaves_nothing(chain: Chain) -> None:
    with opened(chain.url) as socket:
        socket.send(frame(CLOSE))
        assert socket.frame().payload == b""
        assert socket.at_end()


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Origin": ALLOWED}, 101),
        ({"Origin": "{own}"}, 101),
        ({"Origin": "https://evil.example"}, 403),
        ({"Origin": f"{ALLOWED}.evil.example"}, 403),
        ({"Origin": "null"}, 403),
        ({"Origin": "https://evil.example", "Sec-Fetch-Site": "cross-site"}, 403),
        ({"Sec-Fetch-Site": "cross-site"}, 403),
        ({}, 101),
    ],
    ids=["allowed", "own", "foreign", "longer", "null", "cross-site", "cross-site without origin", "no browser"],
)
def test_a_cookie_needs_an_allowed_origin(chain: Chain, headers: dict[str, str], status: int) -> None:
    host = chain.url.removeprefix("http://")
    sent = {name: value.format(own=chain.url) for name, value in headers.items()}
    cookie = f"sse_session={token(chain, user())}"
    with wire(chain.url) as connection:
        connection.send(handshake(headers={"Host": host, "Cookie": cookie, **sent}))
        assert connection.head().startswith(f"HTTP/1.1 {status} ")
