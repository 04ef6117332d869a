"""``GET /events`` over HTTP: which events a client gets, and how it resumes."""

from __future__ import annotations

import json
import re
import uuid
from base64 import b64encode

import pytest

from tests.conformance.parser import parse
from tests.integration.chain import Chain

TOPIC = "arn:aws:sns:eu-west-1:123456789012:events"


def cloudevent(name: str, **data: str) -> str:
    return json.dumps({"specversion": "1.0", "id": name, "source": "/s", "type": "a.b", **data})


def user() -> str:
    """Return a user that no other test uses."""
    return uuid.uuid4().hex


def test_an_event_goes_from_the_queue_to_the_stream_of_its_user(chain: Chain) -> None:
    name = user()
    with chain.stream(name) as stream:
        chain.put("two\nlines", user_id=name, event_type="upload.done", event_id="e1")
        message = stream.wait_for("upload.done")
        assert message.data == "two\nlines"
        assert re.fullmatch(r"[A-Za-z0-9._-]{1,64}", message.id)
        block = rb"event: upload\.done\ndata: two\ndata: lines\nid: \S+\n\n$"
        assert re.search(block, stream.raw)
        assert stream.raw.startswith(b":\nevent: stream.ready\nretry: ")


def test_the_response_headers_keep_proxies_from_buffering_and_storing(chain: Chain) -> None:
    with chain.stream(user()) as stream:
        headers = stream.response.headers
    assert headers["content-type"].startswith("text/event-stream")
    assert headers["cache-control"] == "no-store, no-transform"
    assert headers["x-accel-buffering"] == "no"
    assert headers["connection"] == "close"


def test_nobody_sees_another_users_events(chain: Chain) -> None:
    mine, theirs = user(), user()
    with chain.stream(mine) as stream, chain.stream(theirs, groups=["g-" + theirs]) as other:
        chain.put("for me", user_id=mine)
        chain.put("for them", user_id=theirs)
        chain.put("for their group", group="g-" + theirs)
        chain.put("for all", broadcast="true")
        stream.wait_for("for all")
        other.wait_for("for all")
        assert stream.data == ["for me", "for all"]
        assert other.data == ["for them", "for their group", "for all"]


def test_a_client_that_reconnects_gets_all_missed_events_once_and_in_order(chain: Chain) -> None:
    name = user()
    with chain.stream(name) as stream:
        chain.put("1", "2", user_id=name)
        last = stream.wait_for("2").id
    chain.put("3", "4", user_id=name)
    with chain.stream(name, last=last) as stream:
        chain.put("5", user_id=name)
        stream.wait_for("5")
        assert json.loads(stream.messages[0].data) == {"resumed": True, "user": name}
        assert stream.data == ["3", "4", "5"]


def test_a_message_that_is_delivered_twice_is_shown_once(chain: Chain) -> None:
    name = user()
    with chain.stream(name) as stream:
        chain.put("a", user_id=name, event_id="same")
        chain.put("a", user_id=name, event_id="same")
        chain.put("b", user_id=name)
        stream.wait_for("b")
        assert stream.data == ["a", "b"]


def test_events_published_before_the_page_opened_are_not_lost(chain: Chain) -> None:
    name = user()
    with chain.stream(name) as stream:
        chain.put("early", user_id=name)
        stream.wait_for("early")
    with chain.stream(name, since="all") as stream:
        assert stream.wait_for("early").data == "early"
        assert json.loads(stream.messages[0].data)["resumed"] is False


def test_a_stream_cut_at_any_byte_of_a_replay_resumes_without_losses_or_duplicates(chain: Chain) -> None:
    name = user()
    texts = [f"event {n}\nof many" for n in range(12)]
    with chain.stream(name) as stream:
        chain.put_all([(text, {"user_id": name, "event_type": "t"}) for text in texts])
        stream.wait_for(texts[-1])
    with chain.stream(name, since="all") as stream:
        stream.wait_for(texts[-1])
        stream.wait_for("stream.cursor")
        raw = stream.raw
    seen: dict[tuple[str, int], list[str]] = {}
    for cut in range(len(raw) + 1):
        parsed = parse(raw[:cut])
        shown = [m.data for m in parsed.events if m.type == "t"]
        # Cuts that leave a client in the same state are one case.
        seen[parsed.last_id, len(shown)] = shown
    assert len(seen) >= len(texts) + 2
    for (last, _), shown in seen.items():
        with chain.stream(name, last=last or None, **({} if last else {"since": "all"})) as stream:
            stream.wait_for("stream.cursor")
            rest = [m.data for m in stream.messages if m.type == "t"]
            assert "stream.gap" not in stream.types
        assert shown + rest == texts


def test_types_and_subject_narrow_a_stream(chain: Chain) -> None:
    name = user()
    with chain.stream(name, types="done,message", subject="job/1") as stream:
        chain.put("1", user_id=name, event_type="done", subject="job/1")
        chain.put("2", user_id=name, event_type="done", subject="job/2")
        chain.put("3", user_id=name, event_type="other", subject="job/1")
        chain.put("4", user_id=name, subject="job/1")
        stream.wait_for("4")
        assert stream.data == ["1", "4"]


def test_a_publishers_types_cannot_fire_an_event_sources_own_handlers(chain: Chain) -> None:
    name = user()
    with chain.stream(name, types="event.open,event.stream.ready") as stream:
        chain.put("1", user_id=name, event_type="open")
        chain.put("2", user_id=name, event_type="stream.ready")
        stream.wait_for("2")
        assert stream.types[1:] == ["event.open", "event.stream.ready"]


@pytest.mark.parametrize(
    "last",
    [
        pytest.param("x" * 10_000, id="10 KB"),
        pytest.param("\xff\xfe", id="high bytes"),
        pytest.param("other.1795595683528528.0", id="another epoch"),
        pytest.param("1", id="no cursor"),
    ],
)
def test_an_invalid_cursor_causes_a_gap_and_never_an_error(chain: Chain, last: str) -> None:
    name = user()
    with chain.stream(name) as stream:
        chain.put("held", user_id=name)
        stream.wait_for("held")
    headers = {**chain.headers(name), "Last-Event-ID": last.encode("latin-1")}
    with chain.client.stream("GET", f"{chain.url}/events", headers=headers) as response:
        assert response.status_code == 200
        raw = b""
        for data in response.iter_raw():
            raw += data
            if b"stream.cursor" in raw:
                break
    types = [m.type for m in parse(raw).events]
    assert types[:3] == ["stream.ready", "stream.gap", "message"]


def test_a_cursor_from_the_future_causes_a_gap(chain: Chain) -> None:
    name = user()
    with chain.stream(name) as stream:
        epoch, offset, _ = stream.messages[0].id.split(".")
    with chain.stream(name, last=f"{epoch}.{int(offset) + 10**12}.0") as stream:
        gap = stream.wait_for("stream.gap")
        assert json.loads(gap.data) == {"reason": "unknown"}


def test_another_users_cursor_is_a_valid_position_and_shows_nothing_of_theirs(chain: Chain) -> None:
    mine, theirs = user(), user()
    with chain.stream(theirs) as stream:
        chain.put("1", "2", user_id=theirs)
        last = stream.wait_for("1").id
        stream.wait_for("2")
    with chain.stream(mine, last=last) as stream:
        stream.wait_for("stream.cursor")
        assert stream.types == ["stream.ready", "stream.cursor"]


@pytest.mark.parametrize("name", ["lastEventId", "last_event_id", "lastEventID"])
def test_clients_that_cannot_set_the_header_resume_by_a_query_parameter(chain: Chain, name: str) -> None:
    someone = user()
    with chain.stream(someone) as stream:
        chain.put("1", "2", user_id=someone)
        last = stream.wait_for("1").id
        stream.wait_for("2")
    with chain.stream(someone, **{name: last}) as stream:
        assert stream.wait_for("2")
        assert stream.data == ["2"]


def test_a_stream_ends_when_its_token_expires(chain: Chain) -> None:
    with chain.stream(user(), ttl_seconds=2) as stream:
        close = stream.wait_for("stream.close")
        stream.wait_for_end()
        assert json.loads(close.data) == {"reason": "expired", "reconnect": False}


def test_good_messages_around_bad_ones_are_delivered_in_order(chain: Chain) -> None:
    name = user()
    deep = "[" * 10_000
    bad: list[tuple[str, dict[str, str]]] = [
        ('{"Type":"Notification","MessageId":1,"TopicArn":"t","Message":"x"}', {"user_id": name}),
        ('{"Type": "Notification", "MessageId": "1", "Mess', {"user_id": name}),
        ('{"user_id":"' + name, {}),
        ('{"user_id":NaN}', {}),
        (deep, {}),
        ("x", {"user_id": name, "event_type": "a\nb"}),
        (cloudevent(name, data_base64="not base64"), {"user_id": name}),
        ('{"Type":"SubscriptionConfirmation","TopicArn":"' + TOPIC + '","Token":"t"}', {"user_id": name}),
        ("x", {"user_id": name, "event_id": "a\rb"}),
        ("x" * 300_000, {"user_id": name}),
        (json.dumps({"user_id": [str(n) for n in range(101)]}), {}),
        (json.dumps({"user_id": 1.5}), {}),
    ]
    rejected = chain.metric('sse_messages_rejected_total{reason="not_json"}')
    with chain.stream(name) as stream:
        for number, message in enumerate(bad):
            chain.put(f"good {number}", user_id=name)
            chain.put_all([message])
        chain.put("last", user_id=name)
        stream.wait_for("last")
        assert stream.data == [*(f"good {n}" for n in range(len(bad))), "last"]
    assert chain.metric('sse_messages_rejected_total{reason="not_json"}') == rejected + 3
    assert chain.metric('sse_messages_rejected_total{reason="size"}') == 1
    assert chain.metric('sse_messages_rejected_total{reason="data"}') == 1
    assert chain.metric('sse_messages_rejected_total{reason="subscription"}') == 1
    assert f"SNS asks to confirm that {TOPIC} may send to this queue" in chain.process.output
    assert chain.get("/readyz").status_code == 200


def test_base64_data_of_a_cloudevent_is_shown_decoded(chain: Chain) -> None:
    name = user()
    data = '{ "user_id": "' + name + '", "text": "é" }'
    with chain.stream(name) as stream:
        chain.put(cloudevent(name, data_base64=b64encode(data.encode()).decode()))
        assert stream.wait_for("a.b").data == data


def test_an_event_that_names_a_user_is_not_shown_to_the_group_beside_it(chain: Chain) -> None:
    name, other = user(), user()
    body = json.dumps({"user_id": name, "group": "g-" + other, "balance": 1})
    with chain.stream(name) as stream, chain.stream(other, groups=["g-" + other]) as bystander:
        chain.put(body)
        chain.put("last", user_id=f'["{name}", "{other}"]')
        stream.wait_for("last")
        bystander.wait_for("last")
        assert stream.data == [body, "last"]
        assert bystander.data == ["last"]


def test_text_that_is_not_json_is_delivered_unchanged_to_the_user_in_its_attributes(chain: Chain) -> None:
    name = user()
    texts = ['{"cut', "NaN", '{"a": 1.0,  "b":[ ]}', " leading, trailing ", "ünïcödé \u2028 ✓", "[" * 10_000]
    with chain.stream(name) as stream:
        for text in texts:
            chain.put(text, user_id=name)
        stream.wait_for(texts[-1])
        assert stream.data == texts
