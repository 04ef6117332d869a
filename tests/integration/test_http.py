"""Responses that are not streams, and responses to hostile clients."""

from __future__ import annotations

import json
import re
import signal
import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import httpx
import pytest

from tests.integration.chain import SECRET, Chain, queue_stub, service
from tests.integration.process import DEADLINE

STREAM = {"Accept": "text/event-stream"}


def problem(response: httpx.Response) -> str:
    assert response.headers["content-type"] == "application/problem+json"
    body = response.json()
    assert body["status"] == response.status_code
    return str(body["detail"])


def raw(chain: Chain, request: bytes, *, until: bytes = b"") -> bytes:
    """Send bytes on a new connection, and return the response up to its end or to a marker."""
    host, _, port = chain.url.removeprefix("http://").partition(":")
    with socket.create_connection((host, int(port)), timeout=DEADLINE) as connection:
        answer = b""
        try:
            connection.sendall(request)
            while not until or until not in answer:
                data = connection.recv(65536)
                if not data:
                    break
                answer += data
        except ConnectionError:
            pass
        return answer


def head(chain: Chain, *lines: str, version: str = "1.1", path: str = "/events") -> bytes:
    authorization = chain.headers()["Authorization"]
    wanted = (f"GET {path} HTTP/{version}", "Host: x", f"Authorization: {authorization}", *lines)
    return "\r\n".join((*wanted, "", "")).encode("latin-1")


def test_without_a_token_the_answer_is_a_challenge(chain: Chain) -> None:
    response = chain.get("/events", headers=STREAM)
    assert response.status_code == 401
    assert response.headers["www-authenticate"] == "Bearer"
    assert "POST /session" in problem(response)


@pytest.mark.parametrize("token", ["x", "a.b.c", "é"])
def test_a_bad_token_is_401(chain: Chain, token: str) -> None:
    response = chain.get("/events", headers={"Authorization": f"Bearer {token}".encode("latin-1")})
    assert response.status_code == 401
    assert response.headers["www-authenticate"].startswith("Bearer")


def test_a_token_with_too_many_groups_is_forbidden(chain: Chain) -> None:
    response = chain.get("/events", headers=chain.headers(groups=[str(n) for n in range(101)]))
    assert response.status_code == 403
    assert "100 groups" in problem(response)


@pytest.mark.parametrize("query", ["since=", "since=x", "since=10", "types=", "types=a,,b", "types=a%0Ab", "subject="])
def test_a_malformed_query_is_400(chain: Chain, query: str) -> None:
    response = chain.get(f"/events?{query}", headers=chain.headers())
    assert response.status_code == 400
    problem(response)


def test_options_without_an_allowed_origin_lists_the_methods(chain: Chain) -> None:
    response = chain.client.options(f"{chain.url}/events")
    assert response.status_code == 405
    assert set(response.headers["allow"].split(", ")) == {"GET", "HEAD"}
    assert "access-control-allow-origin" not in response.headers


def test_unknown_paths_and_methods_are_answered_with_problems(chain: Chain) -> None:
    assert chain.get("/nothing").status_code == 404
    problem(chain.get("/nothing"))
    assert problem(chain.client.put(f"{chain.url}/events"))
    assert chain.get("/").status_code == 404
    assert chain.get("/events/").status_code == 404


def test_headers_over_16_kib_are_refused(chain: Chain) -> None:
    for lines in (["X-Big: " + "x" * 17_000], [f"X-{n}: {'x' * 100}" for n in range(200)]):
        assert raw(chain, head(chain, *lines)).startswith(b"HTTP/1.1 431 ")
    response = raw(chain, head(chain, "X-Big: " + "x" * 15_000, path="/healthz", version="1.0"))
    assert response.startswith(b"HTTP/1.1 200 ")


def test_a_header_that_never_ends_is_refused(chain: Chain) -> None:
    answer = raw(chain, b"GET /healthz HTTP/1.1\r\nX: " + b"x" * 1_000_000)
    assert answer.startswith(b"HTTP/1.1 431 ")
    assert b"application/problem+json" in answer


def test_control_bytes_in_a_header_are_400(chain: Chain) -> None:
    assert raw(chain, head(chain, "Last-Event-ID: a\x01b")).startswith(b"HTTP/1.1 400 ")


def test_http_1_0_gets_no_chunked_coding(chain: Chain) -> None:
    answer = raw(chain, head(chain, version="1.0", path="/events?since=all"), until=b"stream.cursor")
    top, _, body = answer.partition(b"\r\n\r\n")
    assert b"transfer-encoding" not in top.lower()
    assert body.startswith(b":\nevent: stream.ready\n")


def test_head_is_answered_without_a_stream(chain: Chain) -> None:
    response = chain.client.head(f"{chain.url}/events", headers=chain.headers())
    assert response.status_code == 200
    assert response.headers["content-type"].startswith("text/event-stream")


def test_a_pipelined_request_for_a_stream_is_answered_in_order(chain: Chain) -> None:
    answer = raw(chain, head(chain, path="/healthz") + head(chain), until=b"stream.ready")
    assert answer.index(b'{"status":"ok"}') < answer.index(b"event: stream.ready")


def test_a_request_pipelined_behind_a_stream_does_not_disturb_it(chain: Chain) -> None:
    answer = raw(chain, head(chain, path="/events?since=all") + head(chain, path="/healthz"), until=b"stream.cursor")
    assert b'{"status":"ok"}' not in answer


def test_a_client_that_pipelines_behind_a_stream_and_disconnects_leaves_no_stream_open(chain: Chain) -> None:
    before = chain.metric("sse_streams_open")
    raw(chain, head(chain) + head(chain, path="/healthz"), until=b"stream.ready")
    chain.wait_for_metric("sse_streams_open", before)
    # A write to the lost connection once ended the process.
    chain.put("1", user_id="42")
    assert chain.get("/healthz").status_code == 200


def test_a_session_puts_the_token_into_a_cookie_that_scripts_cannot_read(chain: Chain) -> None:
    headers = chain.headers("cookie-user", ttl_seconds=600)
    response = chain.client.post(f"{chain.url}/session", headers={**headers, "Cookie": "sse_session=old"})
    assert response.status_code == 204
    *expired, cookie = response.headers.get_list("set-cookie")
    assert all("Max-Age=0" in field for field in expired)
    assert "HttpOnly" in cookie
    assert "Secure" in cookie
    assert "SameSite=lax" in cookie
    assert 590 <= int(re.search(r"Max-Age=(\d+)", cookie)[1]) <= 600  # type: ignore[index]  # no match fails the test
    value = cookie.partition(";")[0]
    with httpx.Client(trust_env=False) as browser:
        with browser.stream("GET", f"{chain.url}/events", headers={"Cookie": value}) as stream:
            assert stream.status_code == 200
        foreign = {"Cookie": value, "Origin": "https://app.example.com.evil"}
        refused = browser.get(f"{chain.url}/events", headers=foreign)
        assert refused.status_code == 403
        assert "SSE_CORS_ORIGINS" in problem(refused)


def test_a_session_is_ended_by_its_own_pages_only(chain: Chain) -> None:
    response = chain.client.delete(f"{chain.url}/session", headers={"Sec-Fetch-Site": "same-origin"})
    assert response.status_code == 204
    assert "Max-Age=0" in response.headers["set-cookie"]
    assert chain.client.delete(f"{chain.url}/session", headers={"Origin": "null"}).status_code == 403


def test_cors_names_the_allowed_origin_and_no_other(chain: Chain) -> None:
    ask = {"Access-Control-Request-Method": "GET", "Access-Control-Request-Headers": "last-event-id,authorization"}
    allowed = {"Origin": "https://app.example.com"}
    preflight = chain.client.options(f"{chain.url}/events", headers={**allowed, **ask})
    assert preflight.status_code == 200
    assert preflight.headers["access-control-allow-origin"] == "https://app.example.com"
    assert preflight.headers["access-control-allow-credentials"] == "true"
    answer = chain.get("/events", headers=allowed)
    assert answer.headers["access-control-allow-origin"] == "https://app.example.com"
    for origin in ("null", "https://app.example.com.evil", "http://app.example.com"):
        assert "access-control-allow-origin" not in chain.get("/events", headers={"Origin": origin}).headers
        refused = chain.client.options(f"{chain.url}/events", headers={"Origin": origin, **ask})
        assert "access-control-allow-origin" not in refused.headers


@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_the_headers_of_a_stream_never_contain_the_origin_of_another_request(chain: Chain, method: str) -> None:
    def asked(*fields: str) -> list[bytes]:
        request = head(chain, *fields).replace(b"GET ", method.encode() + b" ", 1)
        answer = raw(chain, request, until=b"stream.ready" if method == "GET" else b"\r\n\r\n")
        lines = answer.partition(b"\r\n\r\n")[0].lower().split(b"\r\n")
        return [line for line in lines if line.startswith((b"access-control", b"vary"))]

    allowed = asked("Origin: https://app.example.com")
    assert b"access-control-allow-origin: https://app.example.com" in allowed
    foreign, none = asked("Origin: https://evil.example"), asked()
    assert not any(b"allow-origin" in line for line in (*foreign, *none))
    assert asked("Origin: https://app.example.com") == allowed


def test_metrics_are_on_the_admin_port_only(chain: Chain) -> None:
    assert chain.get("/metrics").status_code == 404
    assert "sse_streams_open" in chain.client.get(f"{chain.admin}/metrics").text


def test_a_range_header_is_ignored_for_streams(chain: Chain) -> None:
    answer = raw(chain, head(chain, "Range: bytes=0-10"), until=b"stream.ready")
    assert answer.startswith(b"HTTP/1.1 200 ")
    assert b"content-range" not in answer.lower()


def test_a_user_with_too_many_streams_loses_the_oldest_and_one_that_resumes_is_told_to_come_back_later(
    queue: str,
) -> None:
    with service(queue, max_streams_per_user="2") as running, ExitStack() as opened:
        first, second = (opened.enter_context(running.stream("7")) for _ in range(2))
        headers = {**running.headers("7"), **STREAM}
        last = first.messages[-1].id
        told = running.get("/events", headers={**headers, "Last-Event-ID": last})
        match = re.fullmatch(
            rb'event: stream.close\nretry: (\d+)\ndata: {"reason":"limit","reconnect":true}\n\n', told.content
        )
        assert match is not None
        assert 30_000 <= int(match[1]) <= 60_000
        refused = running.get("/events", headers={**running.headers("7"), "Last-Event-ID": last})
        assert refused.status_code == 503
        assert 30 <= int(refused.headers["retry-after"]) <= 60
        assert first.types == second.types == ["stream.ready"]
        third = opened.enter_context(running.stream("7"))
        assert json.loads(first.wait_for("stream.close").data) == {"reason": "limit", "reconnect": True}
        first.wait_for_end()
        running.put("on", user_id="7")
        for stream in (second, third):
            stream.wait_for("on")
        assert running.metric('sse_requests_refused_total{reason="user"}') == 2


def test_streams_per_address_are_limited_by_the_address_that_a_trusted_proxy_forwards(queue: str) -> None:
    with service(queue, max_streams_per_address="1", trusted_proxies="127.0.0.1") as running:

        def ask(address: str) -> int:
            return running.get("/events", headers={**running.headers(), "X-Forwarded-For": address}).status_code

        forwarded = {**running.headers(), "X-Forwarded-For": "198.51.100.9, 192.0.2.1"}
        with running.client.stream("GET", f"{running.url}/events", headers=forwarded) as stream:
            assert stream.status_code == 200
            running.wait_for_metric("sse_streams_open", 1)
            assert ask("192.0.2.1") == 503
            with running.client.stream(
                "GET", f"{running.url}/events", headers={**running.headers(), "X-Forwarded-For": "198.51.100.9"}
            ) as other:
                assert other.status_code == 200


def test_clients_that_open_streams_too_fast_are_told_to_come_back_within_seconds(queue: str) -> None:
    with service(queue, opens_per_second="1") as running, running.stream(), running.stream():
        told = running.get("/events", headers={**running.headers(), **STREAM})
        match = re.fullmatch(
            rb'event: stream.close\nretry: (\d+)\ndata: {"reason":"limit","reconnect":true}\n\n', told.content
        )
        assert match is not None
        assert 1000 <= int(match[1]) <= 10_000


@pytest.fixture
def small(queue: str) -> Iterator[Chain]:
    with service(queue, max_streams="1", drain_seconds="2") as running:
        yield running


def test_over_the_limit_an_event_source_is_told_when_to_come_back_and_other_clients_get_503(small: Chain) -> None:
    with small.stream():
        told = small.get("/events", headers={**small.headers(), **STREAM})
        assert told.status_code == 200
        assert re.fullmatch(
            rb'event: stream.close\nretry: \d+\ndata: {"reason":"limit","reconnect":true}\n\n', told.content
        )
        refused = small.get("/events", headers=small.headers())
        assert refused.status_code == 503
        assert int(refused.headers["retry-after"]) > 0
        problem(refused)


def test_sigterm_closes_every_stream_with_a_reason_and_exits_with_0(small: Chain) -> None:
    with small.stream() as stream:
        small.process.signal(signal.SIGTERM)
        close = stream.wait_for("stream.close")
        assert json.loads(close.data) == {"reason": "drain", "reconnect": True}
        assert re.search(rb"event: stream.close\nretry: \d+\n", stream.raw)
        assert small.get("/healthz").status_code == 503
        told = small.get("/events", headers={**small.headers(), **STREAM})
        assert b'"reason":"drain"' in told.content
        for path in ("/healthz", "/readyz", "/events", "/nothing"):
            assert small.get(path, headers=small.headers()).headers["connection"] == "close"
        assert small.client.get(f"{small.admin}/metrics").headers["connection"] == "close"
        stream.wait_for_end()
    assert small.process.wait() == 0


def test_sigterm_ends_the_process_before_docker_kills_it_where_nobody_would_notice(queue: str) -> None:
    # On loopback, as the container's own health check. A poll of 20 s is open.
    with service(queue, drain_seconds="110") as running:
        assert running.get("/healthz").status_code == 200
        began = time.monotonic()
        running.process.signal(signal.SIGTERM)
        assert running.process.wait() == 0
        assert time.monotonic() - began < 10
        assert "ending at once" in running.process.output


def test_behind_a_load_balancer_the_port_stays_open_after_the_last_stream(queue: str) -> None:
    with service(queue, drain_seconds="3", trusted_proxies="127.0.0.1") as running:
        running.get("/healthz", headers={"X-Forwarded-For": "10.0.1.7"})
        running.process.signal(signal.SIGTERM)
        running.process.wait_for("no stream is open; the port stays open")
        assert running.get("/healthz").status_code == 503
        assert running.process.wait() == 0


def test_a_second_signal_closes_all_streams_at_once_and_exits_with_0(queue: str) -> None:
    with service(queue, drain_seconds="110") as running, running.stream() as one, running.stream() as two:
        running.process.signal(signal.SIGTERM)
        running.process.wait_for("draining 2 streams")
        running.process.signal(signal.SIGTERM)
        for stream in (one, two):
            stream.wait_for("stream.close")
        running.process.signal(signal.SIGINT)
        assert running.process.wait() == 0


def test_a_stalled_reader_of_metrics_does_not_delay_the_shutdown(small: Chain) -> None:
    host, _, port = small.admin.removeprefix("http://").partition(":")
    with socket.socket() as stalled:
        stalled.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2048)
        stalled.connect((host, int(port)))
        stalled.sendall(b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n" * 10)
        small.wait_for_metric("sse_streams_open", 0)
        small.process.signal(signal.SIGTERM)
        assert small.process.wait() == 0
    assert "Traceback" not in small.process.output


def test_a_stalled_reader_of_a_stream_does_not_delay_the_shutdown(small: Chain) -> None:
    host, _, port = small.url.removeprefix("http://").partition(":")
    with socket.socket() as stalled:
        stalled.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        stalled.connect((host, int(port)))
        stalled.sendall(head(small))
        small.wait_for_metric("sse_streams_open", 1)
        small.put(*["x" * 100_000] * 10, user_id="42")
        small.wait_for_metric("sse_events_delivered_total", 10)
        small.process.signal(signal.SIGTERM)
        assert small.process.wait() == 0


def test_emf_records_are_written_on_separate_lines(queue: str) -> None:
    with service(queue, emf_namespace="push/test") as running:
        running.put("1", user_id="42")
        running.wait_for_metric("sse_events_stored_total", 1)
        running.process.signal(signal.SIGINT)
        assert running.process.wait() == 0
        (line,) = [line for line in running.process.output.splitlines() if line.startswith('{"_aws"')]
    assert json.loads(line)["EventsStored"] == 1


def test_a_service_restarted_after_a_kill_reports_a_gap(queue: str) -> None:
    with service(queue) as first, first.stream() as stream:
        first.put("1", user_id="42")
        last = stream.wait_for("1").id
        first.process.signal(signal.SIGKILL)
        stream.wait_for_end()
    # A second queue, because the first one may still have an open poll of the killed service.
    with queue_stub() as other, service(other) as second, second.stream(last=last) as stream:
        assert json.loads(stream.wait_for("stream.gap").data) == {"reason": "epoch"}


def test_no_token_cookie_or_payload_is_in_a_log_metric_error_or_process_title_at_any_level(queue: str) -> None:
    canary = "canary-payload-7361"
    with service(queue) as running:
        token = running.headers("someone")["Authorization"].removeprefix("Bearer ")
        with running.stream("someone") as stream:
            running.put(canary, user_id="someone", subject="the-subject")
            running.put(canary + '{"cut', **{"event_type": "x\ny", "user_id": "someone"})
            stream.wait_for(canary)
        cookie = {"Cookie": f"sse_session={token}"}
        answers = [
            running.get("/events", headers=cookie, params={"since": canary}),
            running.get("/events", headers=cookie, params={"types": f"{canary}\nx"}),
            running.get("/events", headers={**cookie, "Authorization": f"Bearer {token}x"}),
            running.get("/events", headers={"Cookie": f"sse_session={token}; sse_session={token}x"}),
            running.get("/events", headers={"Authorization": f"Bearer {token}x"}),
            running.get("/events", headers={**cookie, "Origin": f"https://{canary}.example"}),
            running.get(f"/{canary}?token={token}"),
            running.client.request(canary, f"{running.url}/events", headers=cookie),
        ]
        assert all(answer.is_client_error for answer in answers)
        assert running.client.post(f"{running.url}/session", headers=running.headers("someone")).is_success
        refused = raw(running, head(running, f"X: {canary}" + "x" * 17_000))
        running.wait_for_metric('sse_messages_rejected_total{reason="type"}', 1)
        title = [Path(f"/proc/{running.process.pid}/{name}").read_text() for name in ("cmdline", "comm")]
        metrics = running.client.get(f"{running.admin}/metrics").text
        running.process.signal(signal.SIGINT)
        assert running.process.wait() == 0
        output = running.process.output
    shown = "\n".join([output, metrics, *title, refused.decode(), *(f"{a.headers} {a.text}" for a in answers)])
    assert "DEBUG" in output
    assert "1 channels" in output
    for secret in (canary, token, token.rpartition(".")[2], SECRET):
        assert secret not in shown
