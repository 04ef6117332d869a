"""``GET /events/poll`` over HTTP: what is special about polls."""

from __future__ import annotations

import json
import signal
import socket
import time
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import httpx
import pytest

from tests.integration.chain import Chain, service
from tests.integration.process import DEADLINE
from tests.integration.test_stream import user
from tests.integration.valkey import Valkey

OPEN = "sse_streams_open"


def ask(chain: Chain, name: str, cursor: str | None = None, **query: Any) -> httpx.Response:
    params = {**query, **({"lastEventId": cursor} if cursor else {})}
    return chain.get("/events/poll", params=params, headers=chain.headers(name))


def poll(chain: Chain, name: str, cursor: str | None = None, **query: Any) -> dict[str, Any]:
    """Poll once, and return the answer."""
    response = ask(chain, name, cursor, **query)
    assert response.status_code == 200, response.text
    found: dict[str, Any] = response.json()
    return found


def texts(answer: dict[str, Any]) -> list[str]:
    return [event["data"] for event in answer["events"]]


@contextmanager
def waiting(chain: Chain, name: str, cursor: str | None = None, **query: Any) -> Iterator[Future[httpx.Response]]:
    """A poll in a thread, which waits for an event when the block begins. No other stream may be open."""
    params = {"since": "all", "wait": 50, **query}
    # The stream of an earlier request may end a moment after its client has the answer.
    chain.wait_for_metric(OPEN, 0)
    with ThreadPoolExecutor(1) as thread:
        asked = thread.submit(ask, chain, name, cursor, **params)
        chain.wait_for_metric(OPEN, 1)
        yield asked


def assert_answered_in_the_middle(asked: Future[httpx.Response], name: str) -> httpx.Response:
    """The poll was answered with nothing, long before its time."""
    response = asked.result(DEADLINE)
    assert response.status_code == 200
    assert response.elapsed.total_seconds() < 40
    answer = response.json()
    assert answer.pop("cursor")
    assert answer == {"events": [], "gap": None, "resumed": False, "user": name, "more": False}
    return response


def until_held(chain: Chain, name: str, *bodies: str, **attributes: str) -> list[dict[str, Any]]:
    """Publish events, and return them when history holds them all."""
    chain.put(*bodies, user_id=name, **attributes)
    until = time.monotonic() + DEADLINE
    events: list[dict[str, Any]] = []
    cursor = None
    while len(events) < len(bodies):
        answer = poll(chain, name, cursor, since="all", wait=1)
        events, cursor = events + answer["events"], answer["cursor"]
        assert time.monotonic() < until, events
    return events


def test_a_first_poll_is_given_the_position_at_once_even_if_it_may_wait(chain: Chain) -> None:
    name = user()
    first = poll(chain, name, wait=50)
    cursor = first.pop("cursor")
    assert first == {"events": [], "gap": None, "resumed": False, "user": name, "more": False}
    chain.put("a", user_id=name, event_type="t")
    second = poll(chain, name, cursor, wait=50)
    assert [(event["type"], event["data"]) for event in second["events"]] == [("t", "a")]
    assert second["resumed"] is True


@pytest.mark.parametrize("wait", ["", "-1", "51", "1.5", "1s", "x", "٣", "100"])
def test_a_wait_that_is_not_an_integer_from_0_to_50_is_refused(chain: Chain, wait: str) -> None:
    response = ask(chain, user(), wait=wait)
    assert response.status_code == 400
    assert "from 0 to 50" in response.json()["detail"]


def test_a_second_wait_is_refused_and_one_on_a_stream_is_ignored(chain: Chain) -> None:
    headers = chain.headers(user())
    assert chain.get("/events/poll?wait=1&wait=1", headers=headers).status_code == 400
    with chain.stream(wait="x") as stream:
        assert stream.types == ["stream.ready"]


def test_a_heartbeat_parameter_is_accepted_and_has_no_effect(chain: Chain) -> None:
    assert texts(poll(chain, user(), heartbeat="event")) == []


def test_a_poll_that_waits_is_answered_by_the_first_event(chain: Chain) -> None:
    name = user()
    with waiting(chain, name) as asked:
        chain.put("a", user_id=name)
        answer = asked.result(DEADLINE).json()
        assert texts(answer) == ["a"]
    assert texts(poll(chain, name, answer["cursor"])) == []


def test_a_poll_without_an_event_is_answered_when_its_wait_is_over(chain: Chain) -> None:
    name = user()
    response = ask(chain, name, since="all", wait=1)
    assert response.elapsed.total_seconds() >= 1
    assert response.json()["events"] == []


def test_a_poll_with_since_gets_what_is_held_at_once(chain: Chain) -> None:
    name = user()
    until_held(chain, name, "early")
    for since in ("all", "10s"):
        assert texts(poll(chain, name, since=since, wait=50)) == ["early"]


def test_pages_follow_each_other_until_there_is_no_more(chain: Chain) -> None:
    name = user()
    bodies = [str(number) for number in range(200)]
    events = until_held(chain, name, *bodies)
    assert [event["data"] for event in events] == bodies
    first = poll(chain, name, since="all", wait=50)
    assert (len(first["events"]), first["more"]) == (100, True)
    second = poll(chain, name, first["cursor"], wait=50)
    assert (len(second["events"]), second["more"]) == (100, False)
    assert texts(first) + texts(second) == bodies


def test_a_poll_resumes_from_every_event_and_from_a_lost_answer(chain: Chain) -> None:
    name = user()
    bodies = [f"event {number}" for number in range(12)]
    events = until_held(chain, name, *bodies)
    for number, event in enumerate(events, 1):
        first, again = (poll(chain, name, event["id"], wait=0) for _ in range(2))
        assert texts(first) == texts(again) == bodies[number:]
        assert (first["resumed"], first["gap"]) == (True, None)


def test_a_client_that_leaves_during_the_wait_gets_the_event_with_its_old_cursor(chain: Chain) -> None:
    name = user()
    cursor = poll(chain, name)["cursor"]
    left = chain.metric('sse_streams_closed_total{reason="client"}')
    host, port = chain.url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), timeout=DEADLINE) as connection:
        token = chain.headers(name)["Authorization"]
        target = f"/events/poll?wait=50&lastEventId={cursor}"
        connection.sendall(f"GET {target} HTTP/1.1\r\nHost: x\r\nAuthorization: {token}\r\n\r\n".encode())
        chain.wait_for_metric(OPEN, 1)
    chain.wait_for_metric('sse_streams_closed_total{reason="client"}', left + 1)
    chain.wait_for_metric(OPEN, 0)
    chain.put("a", user_id=name)
    assert texts(poll(chain, name, cursor, wait=50)) == ["a"]


@pytest.mark.parametrize(("cursor", "reason"), [("other.1795595683528528.0", "epoch"), ("\xff" * 300, "unknown")])
def test_a_gap_is_told_at_once_with_what_is_held(chain: Chain, cursor: str, reason: str) -> None:
    name = user()
    until_held(chain, name, "held")
    headers = {**chain.headers(name), "Last-Event-ID": cursor.encode("latin-1")}
    response = chain.client.get(f"{chain.url}/events/poll?wait=50", headers=headers)  # type: ignore[arg-type]  # bytes
    answer = response.json()
    assert (answer["gap"], answer["resumed"], texts(answer)) == (reason, False, ["held"])
    after = poll(chain, name, answer["cursor"])
    assert (after["gap"], after["resumed"], texts(after)) == (None, True, [])


def test_a_gap_with_nothing_held_is_told_without_waiting(chain: Chain) -> None:
    answer = poll(chain, user(), "nonsense", wait=50)
    assert (answer["gap"], answer["events"], answer["more"]) == ("unknown", [], False)


def test_a_narrowed_poll_waits_for_its_own_types_and_its_cursor_passes_the_others(chain: Chain) -> None:
    name = user()
    first = until_held(chain, name, "1", "2", event_type="other")
    quiet = poll(chain, name, first[0]["id"], types="done")
    assert quiet["events"] == []
    assert texts(poll(chain, name, quiet["cursor"])) == []
    with waiting(chain, name, types="done,message", subject="job/1") as asked:
        chain.put("3", user_id=name, event_type="other", subject="job/1")
        chain.put("4", user_id=name, event_type="done", subject="job/2")
        chain.put("5", user_id=name, event_type="done", subject="job/1")
        assert texts(asked.result(DEADLINE).json()) == ["5"]


def test_nobody_is_answered_with_another_users_events(chain: Chain) -> None:
    mine, theirs = user(), user()
    with waiting(chain, mine) as asked:
        chain.put("theirs", user_id=theirs)
        chain.put("mine", user_id=mine)
        response = asked.result(DEADLINE)
    assert texts(response.json()) == ["mine"]
    answer = poll(chain, mine, poll(chain, theirs, since="all")["events"][0]["id"])
    assert (answer["gap"], texts(answer)) == (None, ["mine"])


def test_a_client_that_changes_between_polls_and_streams_loses_and_doubles_nothing(chain: Chain) -> None:
    name = user()
    seen: list[str] = []
    cursor = poll(chain, name)["cursor"]
    for number in range(8):
        chain.put(f"{number} a", f"{number} b", user_id=name)
        if number % 2:
            with chain.stream(name, last=cursor) as stream:
                message = stream.wait_for(f"{number} b")
                assert json.loads(stream.messages[0].data)["resumed"] is True
                seen += stream.data
                cursor = message.id
        else:
            while f"{number} b" not in seen:
                answer = poll(chain, name, cursor, wait=50)
                assert answer["resumed"] is True
                seen += texts(answer)
                cursor = answer["cursor"]
    assert seen == [f"{number} {letter}" for number in range(8) for letter in "ab"]


def test_a_poll_is_answered_when_its_token_expires_and_the_next_is_refused(chain: Chain) -> None:
    name = user()
    headers = chain.headers(name, ttl_seconds=2)
    response = chain.get("/events/poll?since=all&wait=50", headers=headers)
    assert response.status_code == 200
    assert response.elapsed.total_seconds() < 40
    assert response.json()["events"] == []
    assert chain.get("/events/poll", headers=headers).status_code == 401


def test_a_poll_is_answered_when_its_user_is_revoked(chain: Chain) -> None:
    name = user()
    with waiting(chain, name) as asked:
        answer = chain.client.post(f"{chain.admin}/revoke", json={"user": name})
        assert answer.json() == {"user": name, "streams": 1}
        assert_answered_in_the_middle(asked, name)


def test_polls_of_one_client_use_one_connection(chain: Chain) -> None:
    name = user()
    with httpx.Client(base_url=chain.url, headers=chain.headers(name), trust_env=False, timeout=DEADLINE) as client:
        used = set()
        for path in ("/events/poll", "/events/poll?since=all&wait=1", "/events/poll?wait=x", "/events/poll"):
            response = client.get(path)
            used.add(response.extensions["network_stream"].get_extra_info("client_addr"))
    assert len(used) == 1


def test_a_page_of_an_allowed_origin_may_read_the_answer(chain: Chain) -> None:
    headers = {**chain.headers(user()), "Origin": "https://app.example.com"}
    response = chain.get("/events/poll?since=all&wait=1", headers=headers)
    assert response.headers["access-control-allow-origin"] == "https://app.example.com"
    asked = {**headers, "Access-Control-Request-Method": "GET", "Access-Control-Request-Headers": "last-event-id"}
    assert chain.client.options(f"{chain.url}/events/poll", headers=asked).status_code == 200


def test_a_new_page_over_the_users_limit_lets_the_oldest_poll_be_answered(queue: str) -> None:
    with service(queue, max_streams_per_user="1") as chain, waiting(chain, "42") as asked, chain.stream("42"):
        cursor = assert_answered_in_the_middle(asked, "42").json()["cursor"]
        refused = ask(chain, "42", cursor, wait=50)
        assert refused.status_code == 503
        assert 30 <= int(refused.headers["retry-after"]) <= 60
        assert refused.headers["content-type"] == "application/problem+json"


def test_a_storm_of_polls_is_limited_like_a_storm_of_streams(queue: str) -> None:
    with service(queue, opens_per_second="1", max_streams_per_user="1000") as chain, ThreadPoolExecutor(16) as threads:
        answers = list(threads.map(lambda number: ask(chain, str(number)), range(200)))
        refused = [each for each in answers if each.status_code != 200]
        assert len(refused) > 100
        assert {each.status_code for each in refused} == {503}
        assert all(1 <= int(each.headers["retry-after"]) <= 10 for each in refused)
        assert chain.metric('sse_requests_refused_total{reason="rate"}') == len(refused)
        opened = chain.metric('sse_streams_opened_total{protocol="polling"}')
        assert opened == len(answers) - len(refused)
        chain.wait_for_metric('sse_streams_closed_total{reason="answered"}', opened)


def test_a_poll_that_waits_is_answered_when_its_task_drains(queue: str) -> None:
    with service(queue, drain_seconds="3") as chain:
        with waiting(chain, "42") as asked:
            chain.process.signal(signal.SIGTERM)
            response = assert_answered_in_the_middle(asked, "42")
            assert response.headers["connection"] == "close"
            refused = ask(chain, "42", response.json()["cursor"], wait=50)
            assert refused.status_code == 503
            assert "retry-after" in refused.headers
        assert chain.process.wait() == 0


def test_polls_on_two_tasks_lose_and_double_nothing_and_a_lost_store_is_a_gap(queue: str) -> None:
    shared = {"single_task": "false", "opens_per_second": "0"}
    with (
        Valkey() as server,
        service(queue, broker_url=server.url, **shared) as one,
        service(queue, broker_url=server.url, **shared) as other,
    ):
        name, seen = user(), []
        cursor = poll(one, name)["cursor"]
        for number in range(10):
            chain = (one, other)[number % 2]
            one.put(*(f"{number} {letter}" for letter in "abc"), user_id=name)
            while f"{number} c" not in seen:
                answer = poll(chain, name, cursor, wait=50)
                assert (answer["resumed"], answer["gap"]) == (True, None)
                seen += texts(answer)
                cursor = answer["cursor"]
        assert sorted(seen) == [f"{number} {letter}" for number in range(10) for letter in "abc"]
        server.kill()
        server.lose_data()
        server.start()
        for chain in (one, other):
            until = time.monotonic() + DEADLINE
            while chain.get("/readyz").status_code != 200:
                assert time.monotonic() < until
            answer = poll(chain, name, cursor, wait=50)
            assert (answer["resumed"], answer["gap"]) == (False, "epoch")
