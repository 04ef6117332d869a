"""The canary, and the client that waits for it."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Callable, Iterator

import pytest

from sse_service.doctor import canary
from sse_service.doctor.aws_calls import Fault
from sse_service.doctor.report import Level
from sse_service.doctor.stream import OpenResult, Stream, WaitResult
from sse_service.settings.settings import Settings

URL = "http://127.0.0.1:8000"


def test_a_canary_is_for_the_reserved_user_and_has_a_new_id() -> None:
    one, other = canary.new_canary(), canary.new_canary()
    assert one.id != other.id
    assert one.attributes["user_id"] == canary.USER == "sse-service-doctor"
    assert one.id in one.message


@pytest.mark.parametrize("name", ["route_user", "route_group", "route_broadcast", "route_id", "route_data"])
def test_no_canary_is_sent_if_an_override_might_show_it_to_others(name: str) -> None:
    found = canary.check_overrides(Settings(**{name: "body.x"}))
    assert found is not None
    assert found.level is Level.SKIP
    assert f"SSE_{name.upper()}" in found.text
    assert canary.check_overrides(Settings(route_type="body.x")) is None


@pytest.mark.parametrize(
    ("opened", "word"),
    [
        (
            OpenResult(None, "ConnectionRefusedError"),
            "nothing answers at http://127.0.0.1:8000 (ConnectionRefusedError)",
        ),
        (OpenResult(401), "401: the service refuses a token"),
        (OpenResult(503, "this task is ending: try again"), "this task is ending"),
        (OpenResult(503), "it does not say why"),
        (OpenResult(403, "no"), "answers 403: no"),
        (OpenResult(404), "--url"),
        (OpenResult(200, "no event stream"), "--url"),
        (OpenResult(200), "not ready in time: see store"),
        (OpenResult(200, "stream.close, drain"), "(stream.close, drain)"),
    ],
)
def test_each_reason_for_no_stream_has_its_own_line(opened: OpenResult, word: str) -> None:
    found = canary.check_opened(URL, opened)
    assert found is not None
    assert found.level is Level.FAIL
    assert word in found.line
    assert canary.check_opened(URL, OpenResult(200, ready=True)) is None


def test_the_advice_on_a_refused_publish_depends_on_the_reason() -> None:
    assert "sns:Publish" in canary.explain_publish(Fault("AuthorizationError")).fix
    assert "VPC endpoint" in canary.explain_publish(Fault("ConnectTimeoutError", unreachable=True)).fix
    assert "(InvalidParameter)" in canary.explain_publish(Fault("InvalidParameter")).text


def test_a_canary_that_did_not_come_names_the_suspects() -> None:
    def line(waited: WaitResult, *suspects: str) -> str:
        return canary.check_received(waited, message_id="m-1", seconds=30, suspects=suspects).line

    assert line(WaitResult(0.123)) == "ok    canary       published and received after 0.12 s"
    assert line(WaitResult(), "policy", "key").endswith("m-1, and not received within 30 s: see policy, key above")
    assert "second reader" in line(WaitResult())
    assert "ended before it came (stream.close, drain)" in line(WaitResult(ended="stream.close, drain"))


Serve = Callable[[bytes], str]


@pytest.fixture
def serve() -> Iterator[Serve]:
    """Answer one request with these bytes, and close unless they end in an unfinished chunk."""
    threads: list[threading.Thread] = []
    sockets: list[socket.socket] = []

    def start(answer: bytes) -> str:
        listener = socket.create_server(("127.0.0.1", 0))
        sockets.append(listener)

        def run() -> None:
            taken, _ = listener.accept()
            with taken:
                request = b""
                while b"\r\n\r\n" not in request:
                    request += taken.recv(65_536)
                assert b"Authorization: Bearer t" in request
                taken.sendall(answer)
                if answer.endswith(b"\n\n\r\n"):
                    # The stream goes on until the client leaves.
                    taken.recv(1)

        thread = threading.Thread(target=run)
        thread.start()
        threads.append(thread)
        return f"http://127.0.0.1:{listener.getsockname()[1]}"

    yield start
    for thread in threads:
        thread.join(10)
        assert not thread.is_alive()
    for each in sockets:
        each.close()


def chunked(*blocks: str, ended: bool = False) -> bytes:
    head = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
    chunks = b"".join(b"%x\r\n%b\r\n" % (len(block), block.encode()) for block in blocks)
    return head + chunks + (b"0\r\n\r\n" if ended else b"")


READY = 'event: stream.ready\ndata: {"resumed":false}\n\n'


def test_a_line_is_read_across_chunks(serve: Serve) -> None:
    with Stream(serve(chunked(":\n", READY[:9], READY[9:], 'data: {"canary":"x-', '1"}\n\n')), "t") as stream:
        assert stream.open(ready_seconds=5) == OpenResult(200, ready=True)
        waited = stream.wait("x-1", seconds=5)
    assert waited.seconds is not None
    assert waited.ended == ""


def test_waiting_ends_after_the_given_time(serve: Serve) -> None:
    with Stream(serve(chunked(READY)), "t") as stream:
        assert stream.open(ready_seconds=5).ready
        assert stream.wait("x-1", seconds=0.05) == WaitResult()


def test_the_result_of_an_ended_stream_has_the_reason(serve: Serve) -> None:
    close = 'event: stream.close\ndata: {"reason":"limit","reconnect":true}\n\n'
    with Stream(serve(chunked(READY, close, ended=True)), "t") as stream:
        assert stream.open(ready_seconds=5).ready
        assert stream.wait("x-1", seconds=5) == WaitResult(ended="stream.close, limit")
    with Stream(serve(chunked(READY, ended=True)), "t") as stream:
        assert stream.open(ready_seconds=5).ready
        assert stream.wait("x-1", seconds=5) == WaitResult(ended="cut off")
    with Stream(serve(chunked(":\n") + b"ffff\r\n"), "t") as stream:
        opened = stream.open(ready_seconds=5)
    assert (opened.status, opened.ready) == (200, False)


def refusal(status: str, kind: str, body: bytes) -> bytes:
    return f"HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body


def test_a_refusal_quotes_the_service_but_no_other_servers_page(serve: Serve) -> None:
    problem = json.dumps({"status": 503, "detail": "this task is ending: try again"}).encode()
    for answer, expected in (
        (refusal("503 No", "application/problem+json", problem), OpenResult(503, "this task is ending: try again")),
        (refusal("404 No", "text/html", b"<h1>secret</h1>"), OpenResult(404)),
        (refusal("404 No", "application/json", b"[]"), OpenResult(404)),
        (refusal("200 OK", "text/html", b"<h1>secret</h1>"), OpenResult(200, "no event stream")),
        (b"no HTTP at all\r\n", OpenResult(None, "BadStatusLine")),
    ):
        with Stream(serve(answer), "t") as stream:
            assert stream.open(ready_seconds=5) == expected


def test_a_stream_that_cannot_be_opened_has_no_status() -> None:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    with Stream("http://ex..ample", "t") as stream:
        assert stream.open(ready_seconds=1) == OpenResult(None, "UnicodeError")
    with Stream(f"http://127.0.0.1:{port}", "t") as stream:
        assert stream.open(ready_seconds=1) == OpenResult(None, "ConnectionRefusedError")
        assert stream.wait("x", seconds=1) == WaitResult(ended="not open")
