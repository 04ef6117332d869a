"""How a service ends sockets: the last message says why, and the close code says it again."""

from __future__ import annotations

import json
import signal
import struct
from collections.abc import Iterator
from typing import Any

import pytest

from tests.integration.chain import Chain, service
from tests.integration.test_stream import user
from tests.integration.websocket_wire import CLOSE, TEXT, Wire, frame, opened


def last_words(socket: Wire) -> tuple[dict[str, Any], int, int]:
    """Return the data and ``retry`` of ``stream.close``, and the code of the close that follows."""
    close = socket.until_event("stream.close")
    ended = socket.frame()
    assert ended.payload[2:].decode() == json.loads(close["data"])["reason"]
    return json.loads(close["data"]), close.get("retry", 0), ended.code


@pytest.fixture
def narrow(queue: str) -> Iterator[Chain]:
    """A service with one stream for each user, and place for one client that has not said who it is."""
    limits = {"max_streams": "20", "max_streams_per_user": "1", "drain_seconds": "2", "stream_max_age_seconds": "3600"}
    with service(queue, **limits) as running:
        yield running


def test_a_users_oldest_socket_makes_room_and_one_that_resumes_is_told_to_come_later(narrow: Chain) -> None:
    name = user()
    with opened(narrow.url, narrow.headers(name)) as first:
        cursor = first.until_event("stream.ready")["id"]
        with opened(narrow.url, narrow.headers(name)) as second:
            second.until_event("stream.ready")
            said, retry, code = last_words(first)
            assert (said, code) == ({"reason": "limit", "reconnect": True}, 1013)
            assert retry >= 30_000
            with opened(narrow.url, narrow.headers(name), path=f"/ws?lastEventId={cursor}") as third:
                said, retry, code = last_words(third)
                assert (said, code) == ({"reason": "limit", "reconnect": True}, 1013)
                assert retry >= 30_000
    assert narrow.metric('sse_requests_refused_total{reason="user"}') == 1


def test_a_client_that_says_nothing_makes_room_for_the_next(narrow: Chain) -> None:
    name = user()
    with opened(narrow.url) as silent, opened(narrow.url) as speaking:
        assert last_words(silent)[2] == 1013
        token = narrow.headers(name)["Authorization"].removeprefix("Bearer ")
        speaking.send(frame(TEXT, json.dumps({"token": token}).encode()))
        assert json.loads(speaking.until_event("stream.ready")["data"])["user"] == name


def test_a_revoked_user_is_closed_with_4401(narrow: Chain) -> None:
    name = user()
    with opened(narrow.url, narrow.headers(name)) as socket:
        socket.until_event("stream.ready")
        assert narrow.client.post(f"{narrow.admin}/revoke", json={"user": name}).json()["streams"] == 1
        assert last_words(socket) == ({"reason": "revoked", "reconnect": False}, 0, 4401)


def test_a_drain_closes_sockets_with_1012_and_turns_new_ones_away(narrow: Chain) -> None:
    with opened(narrow.url, narrow.headers(user())) as socket:
        socket.until_event("stream.ready")
        narrow.process.signal(signal.SIGTERM)
        said, retry, code = last_words(socket)
        assert (said, code) == ({"reason": "drain", "reconnect": True}, 1012)
        assert 1000 <= retry <= 5000
        for headers in (narrow.headers(user()), {}):
            with opened(narrow.url, headers) as late:
                assert last_words(late)[0]["reason"] == "drain"
        socket.send(frame(CLOSE, struct.pack("!H", code)))
        assert socket.at_end()
    assert narrow.process.wait() == 0


def test_an_old_socket_is_closed_normally_and_the_rate_of_opening_is_limited(queue: str) -> None:
    with service(queue, stream_max_age_seconds="2", opens_per_second="1") as chain:
        with opened(chain.url, chain.headers(user())) as socket:
            said, retry, code = last_words(socket)
            assert (said, code) == ({"reason": "max_age", "reconnect": True}, 1000)
            assert 1000 <= retry <= 5000
        # Clients without a credential have a rate of their own, and cannot use up what users need.
        codes = []
        while 1013 not in codes:
            with opened(chain.url) as socket:
                socket.send(frame(TEXT, b"{}"))
                codes.append(socket.until(CLOSE).code)
        assert set(codes) <= {4401, 1013}
        with opened(chain.url, chain.headers(user())) as socket:
            socket.until_event("stream.ready")


def test_a_client_that_sends_no_token_is_closed_with_4401(chain: Chain) -> None:
    refused = chain.metric('sse_requests_refused_total{reason="unauthorized"}')
    with opened(chain.url) as socket:
        ended = socket.frame()
        assert ended.code == 4401
        assert "first message" in ended.payload[2:].decode()
        # It does not answer the close either, and is disconnected all the same.
        assert socket.at_end()
    chain.wait_for_metric('sse_requests_refused_total{reason="unauthorized"}', refused + 1)
    assert chain.metric("sse_streams_open") == 0
