"""The operator's page on the real admin port."""

from __future__ import annotations

import re
import socket
from collections.abc import Iterator
from contextlib import ExitStack
from itertools import islice
from urllib.parse import urlsplit

import pytest

from sse_service.operator.routes import MAX_NOTICES
from tests.conformance.parser import parse
from tests.integration.chain import Chain, queue_stub, service, sns_envelope

FORM = {"user": "42", "type": "greeting", "data": "hello"}


def test_the_page_loads_everything_from_the_task_itself(chain: Chain) -> None:
    answer = chain.client.get(f"{chain.admin}/")
    assert answer.status_code == 200
    assert "default-src 'none'" in answer.headers["content-security-policy"]
    for name in ("page.css", "plots.css", "page.js"):
        assert f'"/{name}"' in answer.text
        assert chain.client.get(f"{chain.admin}/{name}").status_code == 200
    assert "http" not in answer.text.replace("http-equiv", "")
    # The policy allows no inline styles and no inline scripts.
    assert "style=" not in answer.text
    assert answer.text.count("<script") == 1


def overviews(chain: Chain) -> Iterator[str]:
    """Yield the updates that an open page gets."""
    with chain.client.stream("GET", f"{chain.admin}/live") as live:
        raw, seen = b"", 0
        for data in live.iter_raw():
            raw += data
            events = parse(raw).events
            for event in events[seen:]:
                assert event.type == "overview"
                yield event.data
            seen = len(events)


def test_an_open_page_gets_live_updates(chain: Chain) -> None:
    with chain.stream("operators-user"):
        assert "<td>operators-user</td>" in next(overviews(chain))


def test_every_page_plots_the_same_samples(chain: Chain) -> None:
    with chain.stream("plotted") as stream:
        chain.put(sns_envelope("1", user="plotted"))
        stream.wait_for("1")
        one, other = overviews(chain), overviews(chain)
        for page in (one, other):
            text = next(text for text in islice(page, 10) if "lowest ≤" in text)
            assert re.search(r"Streams open, last 15 minutes. Now: [\d,]+; lowest \d+, highest [1-9]\d*\.", text)
            assert re.search(r"Events delivered a second, last 15 minutes.* highest (0\.[1-9]|[1-9])", text)
            assert re.search(r"Delay from publish to write, last 15 minutes.* highest ≤ \d", text)
    # A page that is opened later has them too, even without scripts.
    assert "lowest ≤" in chain.client.get(f"{chain.admin}/").text


@pytest.mark.parametrize("host", ["evil.example", "evil.example:8001", "127.0.0.1.evil.example", "", "[::"])
def test_a_host_name_other_than_localhost_is_refused(chain: Chain, host: str) -> None:
    for path in ("/", "/live"):
        assert chain.client.get(f"{chain.admin}{path}", headers={"Host": host}).status_code in (400, 403)


def test_a_page_of_another_site_cannot_send_a_test_event(chain: Chain) -> None:
    for headers in ({}, {"Origin": "https://evil.example"}, {"Sec-Fetch-Site": "same-site"}, {"Origin": "null"}):
        answer = chain.client.post(f"{chain.admin}/test", data=FORM, headers=headers)
        assert answer.status_code == 403


def test_without_a_topic_no_test_event_can_be_sent(chain: Chain) -> None:
    assert "<code>SSE_TOPIC_ARN</code> is not set" in chain.client.get(f"{chain.admin}/").text
    own = {"Sec-Fetch-Site": "same-origin"}
    answer = chain.client.post(f"{chain.admin}/test", data=FORM, headers=own)
    assert (answer.status_code, "SSE_TOPIC_ARN" in answer.json()["detail"]) == (409, True)


def test_a_test_event_that_is_incomplete_too_large_or_not_published_is_an_error() -> None:
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


def sign_out(chain: Chain, user: str) -> str:
    """Send the form, and return the address of the page with its notice."""
    own = {"Sec-Fetch-Site": "same-origin"}
    answer = chain.client.post(f"{chain.admin}/sign-out", data={"user": user}, headers=own)
    assert answer.status_code == 303
    return f"{chain.admin}{answer.headers['location']}"


def has_notice(chain: Chain, url: str) -> bool:
    return 'class="notice"' in chain.client.get(url).text


def test_a_notice_is_shown_once(chain: Chain) -> None:
    url = sign_out(chain, "noticed")
    assert "noticed" not in url
    assert [has_notice(chain, url) for _ in range(2)] == [True, False]


def test_a_link_shows_no_notice_of_what_never_happened(chain: Chain) -> None:
    for query in ("signed_out=ann&streams=2", "sent=1", "notice=ann", "notice="):
        assert not has_notice(chain, f"{chain.admin}/?{query}")


def test_only_the_newest_notices_are_kept(chain: Chain) -> None:
    first, *_, last = [sign_out(chain, f"noticed-{number}") for number in range(MAX_NOTICES + 1)]
    assert [has_notice(chain, url) for url in (first, last)] == [False, True]


def test_a_malformed_origin_is_refused(chain: Chain) -> None:
    answer = chain.client.post(f"{chain.admin}/test", data=FORM, headers={"Origin": "http://["})
    assert answer.status_code == 403
    assert "Traceback" not in chain.process.output


def test_a_client_that_leaves_in_the_middle_of_the_body_causes_no_error(queue: str) -> None:
    with service(queue, topic_arn="arn:aws:sns:us-east-1:123456789012:events") as running:
        at = urlsplit(running.admin)
        with socket.create_connection((at.hostname, at.port)) as client:
            head = f"POST /test HTTP/1.1\r\nHost: {at.netloc}\r\nSec-Fetch-Site: same-origin\r\nContent-Length: 9\r\n"
            client.sendall(f"{head}Expect: 100-continue\r\n\r\n".encode())
            # The task answers 100 when it starts to read the body.
            assert client.recv(100).startswith(b"HTTP/1.1 100")
            client.sendall(b"user")
        assert running.client.get(f"{running.admin}/").status_code == 200
        running.process.signal(2)
        assert running.process.wait() == 0
        assert "Traceback" not in running.process.output


def test_an_open_page_does_not_delay_the_shutdown(queue: str) -> None:
    with service(queue) as running, running.client.stream("GET", f"{running.admin}/live") as live:
        assert live.status_code == 200
        running.process.signal(2)
        assert running.process.wait() == 0
        assert "Traceback" not in running.process.output
