"""The operator's page as it is served on the admin port."""

from __future__ import annotations

import socket
from contextlib import ExitStack
from urllib.parse import urlsplit

import pytest

from tests.conformance.parser import parse
from tests.integration.chain import Chain, queue_stub, service

FORM = {"user": "42", "type": "greeting", "data": "hello"}


def test_the_page_loads_what_it_needs_from_the_task_alone(chain: Chain) -> None:
    answer = chain.client.get(f"{chain.admin}/")
    assert answer.status_code == 200
    assert "default-src 'none'" in answer.headers["content-security-policy"]
    for name in ("page.css", "page.js"):
        assert f'"/{name}"' in answer.text
        assert chain.client.get(f"{chain.admin}/{name}").status_code == 200
    assert "http" not in answer.text.replace("http-equiv", "")


def test_it_is_live(chain: Chain) -> None:
    with chain.stream("operators-user"), chain.client.stream("GET", f"{chain.admin}/live") as live:
        raw = b""
        for data in live.iter_raw():
            raw += data
            if parse(raw).events:
                break
    (event,) = parse(raw).events
    assert event.type == "overview"
    assert "<td>operators-user</td>" in event.data


@pytest.mark.parametrize("host", ["evil.example", "evil.example:8001", "127.0.0.1.evil.example", "", "[::"])
def test_a_name_that_a_foreign_page_could_have_led_here_is_refused(chain: Chain, host: str) -> None:
    for path in ("/", "/live"):
        assert chain.client.get(f"{chain.admin}{path}", headers={"Host": host}).status_code in (400, 403)


def test_a_test_event_cannot_be_sent_by_a_foreign_page(chain: Chain) -> None:
    for headers in ({}, {"Origin": "https://evil.example"}, {"Sec-Fetch-Site": "same-site"}, {"Origin": "null"}):
        answer = chain.client.post(f"{chain.admin}/test", data=FORM, headers=headers)
        assert answer.status_code == 403


def test_without_a_topic_there_is_no_test_event(chain: Chain) -> None:
    assert "SSE_TOPIC_ARN is not set" in chain.client.get(f"{chain.admin}/").text
    own = {"Sec-Fetch-Site": "same-origin"}
    answer = chain.client.post(f"{chain.admin}/test", data=FORM, headers=own)
    assert (answer.status_code, "SSE_TOPIC_ARN" in answer.json()["detail"]) == (409, True)


def test_a_test_event_that_is_incomplete_too_large_or_not_taken_says_so() -> None:
    topic = "arn:aws:sns:us-east-1:123456789012:events"
    own = {"Sec-Fetch-Site": "same-origin"}
    with ExitStack() as stack:
        aws = stack.enter_context(ExitStack())
        running = stack.enter_context(service(aws.enter_context(queue_stub()), topic_arn=topic))

        def send(**form: str) -> int:
            return running.client.post(f"{running.admin}/test", data=form, headers=own).status_code

        assert send(user="42") == 400
        for wrong in ({"user": "4\n2"}, {"type": "a\x7f"}, {"type": "a\x85"}, {"data": "a\0"}):
            assert send(**{**FORM, **wrong}) == 400
        assert send(user="42", data="x" * 20_000) == 413
        aws.close()
        assert send(**FORM) == 502


def test_an_origin_that_is_none_is_refused(chain: Chain) -> None:
    answer = chain.client.post(f"{chain.admin}/test", data=FORM, headers={"Origin": "http://["})
    assert answer.status_code == 403
    assert "Traceback" not in chain.process.output


def test_a_client_that_goes_in_mid_body_is_no_error(queue: str) -> None:
    with service(queue, topic_arn="arn:aws:sns:us-east-1:123456789012:events") as running:
        at = urlsplit(running.admin)
        with socket.create_connection((at.hostname, at.port)) as client:
            head = f"POST /test HTTP/1.1\r\nHost: {at.netloc}\r\nSec-Fetch-Site: same-origin\r\nContent-Length: 9\r\n"
            client.sendall(f"{head}Expect: 100-continue\r\n\r\n".encode())
            # It says so when it begins to read the body.
            assert client.recv(100).startswith(b"HTTP/1.1 100")
            client.sendall(b"user")
        assert running.client.get(f"{running.admin}/").status_code == 200
        running.process.signal(2)
        assert running.process.wait() == 0
        assert "Traceback" not in running.process.output


def test_what_is_live_does_not_hold_up_the_end(queue: str) -> None:
    with service(queue) as running, running.client.stream("GET", f"{running.admin}/live") as live:
        assert live.status_code == 200
        running.process.signal(2)
        assert running.process.wait() == 0
        assert "Traceback" not in running.process.output
