"""Wrappers are removed. Broken messages are rejected with a reason."""

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


def unwrapped(body: str, **attributes: Any) -> Envelope:
    return unwrap(message_id="sqs-1", body=body, attributes=attributes)


def test_an_sns_envelope_gives_its_message_id_and_attributes() -> None:
    attributes = {"user_id": {"Type": "String", "Value": "42"}, "group": {"Type": "String.Array", "Value": '["a","b"]'}}
    envelope = unwrapped(sns('{"a": 1}', Subject="s", MessageAttributes=attributes))
    assert envelope.event_id == "sns-1"
    assert envelope.text == '{"a": 1}'
    assert envelope.body == {"a": 1}
    assert envelope.attributes == {"user_id": "42", "group": ["a", "b"]}
    assert (envelope.source, envelope.subject, envelope.time) == (TOPIC, "s", "2026-11-23T23:20:29.832Z")


def test_raw_delivery_has_sqs_attributes_and_the_queues_id() -> None:
    envelope = unwrapped("plain", user_id={"DataType": "String", "StringValue": "42"})
    assert envelope.attributes == {"user_id": "42"}
    assert envelope.event_id == "sqs-1"
    assert envelope.body == envelope.text == "plain"


@pytest.mark.parametrize("through_sns", [False, True])
def test_the_detail_of_an_eventbridge_event_is_extracted_directly_and_through_sns(through_sns: bool) -> None:
    bridge = json.dumps(
        {"id": "eb-1", "detail-type": "Done", "source": "app", "time": "t", "detail": {"user_id": "42", "n": 1}}
    )
    envelope = unwrapped(sns(bridge) if through_sns else bridge)
    assert (envelope.event_id, envelope.type, envelope.source, envelope.time) == ("eb-1", "Done", "app", "t")
    assert envelope.text == '{"user_id":"42","n":1}'


def test_the_data_of_a_cloudevent_is_extracted_and_source_and_id_identify_it() -> None:
    event = {"specversion": "1.0", "id": "7", "source": "/app", "type": "t", "subject": "job", "data": "text"}
    envelope = unwrapped(json.dumps(event))
    assert (envelope.event_id, envelope.type, envelope.subject, envelope.text) == ("/app 7", "t", "job", "text")


def test_an_sns_envelope_within_an_sns_envelope_is_not_removed() -> None:
    envelope = unwrapped(sns(sns("inner")))
    assert envelope.body["Message"] == "inner"


@pytest.mark.parametrize("text", ['{"a":NaN}', r'"\ud83d"', '{"user_id":"42"', "[" * 10_000 + "]" * 10_000])
def test_text_that_is_not_json_is_kept_unchanged(text: str) -> None:
    assert unwrapped(text).text == text
    assert unwrapped(text).body == text


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
def test_a_broken_message_is_not_understood(body: str, reason: str) -> None:
    with pytest.raises(NotUnderstood) as caught:
        unwrapped(body)
    assert caught.value.reason == reason


def test_as_text_keeps_strings_and_writes_other_values_as_compact_json() -> None:
    assert [as_text(v) for v in ("x", None, {"a": [1]}, 1.5)] == ["x", "", '{"a":[1]}', "1.5"]


def test_without_a_time_in_the_wrapper_the_time_is_when_sqs_received_the_message() -> None:
    def time(body: str, sent_ms: int | None = 1_795_595_683_528) -> str | None:
        return unwrap(message_id="sqs-1", body=body, sent_ms=sent_ms).time

    assert time("plain") == "2026-11-25T08:34:43.528Z"
    assert time(sns()) == "2026-11-23T23:20:29.832Z"
    assert time(sns(Timestamp=None)) == "2026-11-25T08:34:43.528Z"
    assert time("plain", 10**19) is None
    assert time("plain", None) is None


def cloudevent(**fields: Any) -> Envelope:
    return unwrapped(json.dumps({"specversion": "1.0", "id": "7", "source": "/app", "type": "t", **fields}))


def test_base64_data_of_a_cloudevent_is_decoded() -> None:
    envelope = cloudevent(data_base64="eyAidXNlcl9pZCI6ICI0MiIgfQ==")
    assert envelope.body == {"user_id": "42"}
    # The producer's text is unchanged, spaces included.
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


def test_base64_data_that_is_not_json_is_text() -> None:
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


def test_an_envelope_lists_its_number_attributes_that_are_not_integers() -> None:
    envelope = unwrapped(
        "x",
        a={"DataType": "Number", "StringValue": "42"},
        b={"DataType": "Number", "StringValue": "42.0"},
        c={"DataType": "Number.float", "StringValue": "-1e3"},
        d={"DataType": "String", "StringValue": "42.0"},
        e={"DataType": "Number", "StringValue": "-7"},
    )
    assert envelope.fractions == {"b", "c"}
    assert envelope.attributes["b"] == "42.0"
    wrapped = sns(MessageAttributes={"b": {"Type": "Number", "Value": "42.0"}, "d": {"Type": "String", "Value": "1.5"}})
    assert unwrapped(wrapped).fractions == {"b"}
    bridge = json.dumps({"detail-type": "Done", "source": "app", "detail": {}})
    assert unwrapped(bridge, b={"DataType": "Number", "StringValue": "42.0"}).fractions == {"b"}
    assert unwrapped("x").fractions == frozenset()


def test_a_binary_attribute_of_sqs_or_sns_is_bytes() -> None:
    assert unwrapped("x", blob={"DataType": "Binary", "BinaryValue": "NDI="}).attributes == {"blob": b"42"}
    assert unwrapped("x", blob={"DataType": "Binary.png", "BinaryValue": "NDI="}).attributes == {"blob": b"42"}
    wrapped = sns(MessageAttributes={"blob": {"Type": "Binary", "Value": "NDI="}})
    assert unwrapped(wrapped).attributes == {"blob": b"42"}


def test_the_advice_for_an_attribute_names_it_but_not_its_value() -> None:
    def advice(kind: str, value: str, name: str = "group") -> str:
        with pytest.raises(NotUnderstood) as caught:
            unwrapped(sns(MessageAttributes={name: {"Type": kind, "Value": value}}))
        assert caught.value.reason == "attribute"
        return caught.value.advice

    assert advice("String.Array", "canary") == "the message attribute group is a String.Array, but not a JSON array"
    assert advice("String.Array", "{}") == "the message attribute group is a String.Array, but not a JSON array"
    assert advice("Binary", "canary!") == "the message attribute group is Binary, but not Base64"
    assert advice("Binary", "canary!", "a\nb" + "x" * 99).startswith(f"the message attribute a?b{'x' * 61} is")


def test_the_advice_for_a_cloudevent_with_both_kinds_of_data_says_so() -> None:
    with pytest.raises(NotUnderstood) as caught:
        cloudevent(data_base64="e30=", data={})
    assert caught.value.advice == "the CloudEvent has both data and data_base64; send one of them"


def test_a_binary_attribute_that_is_not_base64_is_not_understood() -> None:
    with pytest.raises(NotUnderstood) as caught:
        unwrapped(sns(MessageAttributes={"blob": {"Type": "Binary", "Value": "42"}}))
    assert caught.value.reason == "attribute"


@pytest.mark.parametrize(
    ("kind", "advice"),
    [("SubscriptionConfirmation", "confirm-subscription"), ("UnsubscribeConfirmation", "subscribe the queue again")],
)
def test_a_subscription_confirmation_says_what_to_do(kind: str, advice: str) -> None:
    with pytest.raises(NotUnderstood) as caught:
        unwrapped(json.dumps({"Type": kind, "TopicArn": TOPIC, "Token": "secret", "Message": "{}"}), user_id={})
    assert caught.value.reason == "subscription"
    assert TOPIC in str(caught.value)
    assert advice in str(caught.value)
    assert "secret" not in str(caught.value)


def test_a_subscription_confirmation_cannot_inject_text_into_the_log() -> None:
    for topic in ("a\nforged", 7, None, "arn:aws:sns:eu-west-1:123456789012:" + "x" * 257):
        with pytest.raises(NotUnderstood) as caught:
            unwrapped(json.dumps({"Type": "SubscriptionConfirmation", "TopicArn": topic}))
        assert caught.value.reason == "subscription"
        assert str(topic) not in str(caught.value)


def test_a_body_that_only_resembles_a_confirmation_is_kept() -> None:
    assert unwrapped('{"Type": "SubscriptionConfirmation"}').body == {"Type": "SubscriptionConfirmation"}
    assert unwrapped('{"Type": [], "TopicArn": "t"}').body == {"Type": [], "TopicArn": "t"}


@pytest.mark.parametrize("through_sns", [False, True])
def test_the_whole_wrapper_is_kept_beside_its_content(through_sns: bool) -> None:
    event = {"id": "1", "detail-type": "t", "source": "s", "resources": ["r"], "detail": {"a": 1}}
    text = json.dumps(event)
    assert unwrapped(sns(text) if through_sns else text).wrapper == event
    assert unwrapped(sns("plain") if through_sns else "plain").wrapper is None


@pytest.mark.parametrize("body", ["text", '{"specversion":"1.0","id":"1","source":"s","type":"t"}'])
def test_an_envelope_has_awss_trace_header(body: str) -> None:
    assert unwrap(message_id="sqs-1", body=body, trace="Root=1-1-1").trace == "Root=1-1-1"
    assert unwrap(message_id="sqs-1", body=body).trace is None
