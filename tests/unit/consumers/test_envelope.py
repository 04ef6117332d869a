"""Wrappers come off; what is broken is said to be."""

import json
from typing import Any

import pytest

from consumers.envelope import Envelope, unwrap
from consumers.errors import NotUnderstood
from consumers.text import as_text

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


def cloudevent(**fields: Any) -> Envelope:
    return opened(json.dumps({"specversion": "1.0", "id": "7", "source": "/app", "type": "t", **fields}))


def test_base64_data_of_a_cloudevent_is_decoded() -> None:
    envelope = cloudevent(data_base64="eyAidXNlcl9pZCI6ICI0MiIgfQ==")
    assert envelope.body == {"user_id": "42"}
    # The producer's own text, to the letter: the blanks are kept.
    assert envelope.text == '{ "user_id": "42" }'


@pytest.mark.parametrize(
    ("content_type", "body"),
    [
        (None, {"a": 1}),
        ("application/json", {"a": 1}),
        ("Application/Vnd.App+JSON; charset=utf-8", {"a": 1}),
        ("text/plain", '{"a": 1}'),
        ("application/json-seq", '{"a": 1}'),
        (7, '{"a": 1}'),
    ],
)
def test_the_content_type_says_whether_base64_data_is_json(content_type: Any, body: Any) -> None:
    envelope = cloudevent(datacontenttype=content_type, data_base64="eyJhIjogMX0=")
    assert envelope.body == body
    assert envelope.text == '{"a": 1}'


def test_base64_data_that_is_not_json_is_a_text() -> None:
    envelope = cloudevent(datacontenttype="application/json", data_base64="w6k=")
    assert envelope.body == envelope.text == "é"


def test_a_cloudevent_may_have_no_data() -> None:
    assert cloudevent().text == cloudevent(data=None, data_base64=None).text == cloudevent(data_base64="").text == ""


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"data_base64": "e"}, "data"),
        ({"data_base64": "e30"}, "data"),
        ({"data_base64": "e3 0="}, "data"),
        ({"data_base64": "é30="}, "data"),
        ({"data_base64": {"a": 1}}, "data"),
        ({"data_base64": "e30=", "data": {}}, "data"),
        ({"data_base64": "/w=="}, "encoding"),
    ],
)
def test_base64_data_that_cannot_be_decoded_is_not_understood(fields: dict[str, Any], reason: str) -> None:
    with pytest.raises(NotUnderstood) as caught:
        cloudevent(**fields)
    assert caught.value.reason == reason


def test_a_binary_attribute_is_bytes_by_either_way() -> None:
    assert opened("x", blob={"DataType": "Binary", "BinaryValue": "NDI="}).attributes == {"blob": b"42"}
    assert opened("x", blob={"DataType": "Binary.png", "BinaryValue": "NDI="}).attributes == {"blob": b"42"}
    wrapped = sns(MessageAttributes={"blob": {"Type": "Binary", "Value": "NDI="}})
    assert opened(wrapped).attributes == {"blob": b"42"}


def test_a_binary_attribute_that_is_not_base64_is_not_understood() -> None:
    with pytest.raises(NotUnderstood) as caught:
        opened(sns(MessageAttributes={"blob": {"Type": "Binary", "Value": "42"}}))
    assert caught.value.reason == "attribute"


@pytest.mark.parametrize(
    ("kind", "advice"),
    [("SubscriptionConfirmation", "confirm-subscription"), ("UnsubscribeConfirmation", "subscribe the queue again")],
)
def test_a_subscription_confirmation_says_what_to_do(kind: str, advice: str) -> None:
    with pytest.raises(NotUnderstood) as caught:
        opened(json.dumps({"Type": kind, "TopicArn": TOPIC, "Token": "secret", "Message": "{}"}), user_id={})
    assert caught.value.reason == "subscription"
    assert TOPIC in str(caught.value)
    assert advice in str(caught.value)
    assert "secret" not in str(caught.value)


def test_a_subscription_confirmation_cannot_write_to_the_log() -> None:
    for topic in ("a\nforged", 7, None, "arn:aws:sns:eu-west-1:123456789012:" + "x" * 257):
        with pytest.raises(NotUnderstood) as caught:
            opened(json.dumps({"Type": "SubscriptionConfirmation", "TopicArn": topic}))
        assert caught.value.reason == "subscription"
        assert str(topic) not in str(caught.value)


def test_a_body_of_that_type_without_a_topic_is_the_producers_own() -> None:
    assert opened('{"Type": "SubscriptionConfirmation"}').body == {"Type": "SubscriptionConfirmation"}
    assert opened('{"Type": [], "TopicArn": "t"}').body == {"Type": [], "TopicArn": "t"}


@pytest.mark.parametrize("through_sns", [False, True])
def test_the_wrapper_itself_is_kept_beside_what_is_cut_out_of_it(through_sns: bool) -> None:
    event = {"id": "1", "detail-type": "t", "source": "s", "resources": ["r"], "detail": {"a": 1}}
    text = json.dumps(event)
    assert opened(sns(text) if through_sns else text).wrapper == event
    assert opened(sns("plain") if through_sns else "plain").wrapper is None
