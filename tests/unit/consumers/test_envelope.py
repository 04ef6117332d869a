"""Wrappers come off; what is broken is said to be."""

import json
from typing import Any

import pytest

from consumers.envelope import Envelope, as_text, unwrap
from consumers.errors import NotUnderstood

TOPIC = "arn:aws:sns:eu-west-1:123456789012:events"


def sns(message: Any = "hello", **more: Any) -> str:
    base = {"Type": "Notification", "MessageId": "sns-1", "TopicArn": TOPIC, "Message": message}
    return json.dumps({**base, "Timestamp": "2026-11-23T23:20:29.832Z", **more})


def opened(body: str, **attributes: Any) -> Envelope:
    return unwrap(message_id="sqs-1", body=body, attributes=attributes)


def test_an_sns_envelope_gives_its_message_id_and_attributes() -> None:
    attributes = {"user_id": {"Type": "String", "Value": "42"}, "group": {"Type": "String.Array", "Value": '["a","b"]'}}
    envelope = opened(sns('{"a": 1}', Subject="s", MessageAttributes=attributes))
    assert envelope.event_id == "sns-1"
    assert envelope.text == '{"a": 1}'
    assert envelope.body == {"a": 1}
    assert envelope.attributes == {"user_id": "42", "group": ["a", "b"]}
    assert (envelope.source, envelope.subject, envelope.time) == (TOPIC, "s", "2026-11-23T23:20:29.832Z")


def test_raw_delivery_has_sqs_attributes_and_the_queues_id() -> None:
    envelope = opened("plain", user_id={"DataType": "String", "StringValue": "42"})
    assert envelope.attributes == {"user_id": "42"}
    assert envelope.event_id == "sqs-1"
    assert envelope.body == envelope.text == "plain"


@pytest.mark.parametrize("through_sns", [False, True])
def test_eventbridge_is_cut_out_directly_and_through_sns(through_sns: bool) -> None:
    bridge = json.dumps(
        {"id": "eb-1", "detail-type": "Done", "source": "app", "time": "t", "detail": {"user_id": "42", "n": 1}}
    )
    envelope = opened(sns(bridge) if through_sns else bridge)
    assert (envelope.event_id, envelope.type, envelope.source, envelope.time) == ("eb-1", "Done", "app", "t")
    assert envelope.text == '{"user_id":"42","n":1}'


def test_cloudevents_are_cut_out_and_known_by_source_and_id() -> None:
    event = {"specversion": "1.0", "id": "7", "source": "/app", "type": "t", "subject": "job", "data": "text"}
    envelope = opened(json.dumps(event))
    assert (envelope.event_id, envelope.type, envelope.subject, envelope.text) == ("/app 7", "t", "job", "text")


def test_an_envelope_in_an_envelope_is_not_opened() -> None:
    envelope = opened(sns(sns("inner")))
    assert envelope.body["Message"] == "inner"


@pytest.mark.parametrize("text", ['{"a":NaN}', r'"\ud83d"', '{"user_id":"42"', "[" * 10_000 + "]" * 10_000])
def test_what_is_no_json_is_a_text_kept_to_the_letter(text: str) -> None:
    assert opened(text).text == text
    assert opened(text).body == text


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (sns()[:60], "envelope"),
        (sns(1), "envelope"),
        (sns(MessageId=None), "envelope"),
        (sns(Subject=1), "envelope"),
        (sns(MessageAttributes=[1]), "envelope"),
        (sns(MessageAttributes={"group": {"Type": "String.Array", "Value": "x"}}), "attribute"),
        (sns("a\0b"), "nul"),
        ("\ud83d", "encoding"),
    ],
)
def test_what_is_broken_is_not_understood(body: str, reason: str) -> None:
    with pytest.raises(NotUnderstood) as caught:
        opened(body)
    assert caught.value.reason == reason


def test_a_value_cut_out_is_text_as_it_is_null_as_empty_else_compact_json() -> None:
    assert [as_text(v) for v in ("x", None, {"a": [1]}, 1.5)] == ["x", "", '{"a":[1]}', "1.5"]


def test_what_no_wrapper_dates_has_the_time_at_which_sqs_took_it() -> None:
    def time(body: str, sent_ms: int | None = 1_795_595_683_528) -> str | None:
        return unwrap(message_id="sqs-1", body=body, sent_ms=sent_ms).time

    assert time("plain") == "2026-11-25T08:34:43.528Z"
    assert time(sns()) == "2026-11-23T23:20:29.832Z"
    assert time(sns(Timestamp=None)) == "2026-11-25T08:34:43.528Z"
    assert time("plain", 10**19) is None
    assert time("plain", None) is None
