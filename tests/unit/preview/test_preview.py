"""What a message becomes, from each form in which an operator may have it."""

from __future__ import annotations

import io
import json
from enum import StrEnum
from typing import Any

import pytest

from consumers.errors import ConsumerReason
from sse_service.model.reasons import RejectionReason
from sse_service.preview.advice import ADVICE
from sse_service.preview.messages import read_attributes, read_messages
from sse_service.preview.run import preview
from sse_service.settings.settings import Settings

ATTRIBUTES = {"user_id": {"DataType": "String", "StringValue": "42"}}
SNS = {
    "Type": "Notification",
    "TopicArn": "arn:aws:sns:eu-west-1:123456789012:events",
    "MessageId": "m1",
    "Message": "two\nlines",
    "Timestamp": "2026-12-01T00:00:00.000Z",
    "MessageAttributes": {
        "user_id": {"Type": "String", "Value": "42"},
        "event_type": {"Type": "String", "Value": "open"},
        "subject": {"Type": "String", "Value": "job/7"},
    },
}
EVENTBRIDGE = {
    "id": "e1",
    "source": "app",
    "detail-type": "job.done",
    "time": "2026-12-01T00:00:00Z",
    "detail": {"user_id": "42"},
    "version": "0",
    "account": "123456789012",
    "region": "eu-west-1",
    "resources": [],
}


RECORD = {"eventSource": "aws:s3", "eventName": "ObjectCreated:Put", "s3": {"object": {"key": "users/42/a.txt"}}}
S3 = {"Records": [RECORD]}
S3_EVENT = {
    **EVENTBRIDGE,
    "source": "aws.s3",
    "detail-type": "Object Created",
    "detail": {"bucket": {"name": "b"}, "object": {"key": "users/42/a.txt"}},
}
CLOUDEVENT = {"specversion": "1.0", "id": "1", "source": "/s", "type": "t", "data": {"user_id": 42}}
KEYS = {"s3_key_pattern": "users/{user}/*"}


def text_of(message: Any) -> str:
    return message if isinstance(message, str) else json.dumps(message)


def wrapped(message: Any) -> dict[str, Any]:
    """Return a message as SNS delivers it."""
    return {**SNS, "Message": text_of(message), "MessageAttributes": {}}


def shown(
    message: Any,
    *,
    as_json: bool = False,
    attributes: str | None = None,
    raw: bool = False,
    **settings: Any,
) -> tuple[bool, str]:
    output = io.StringIO()
    messages = read_messages(text_of(message).encode(), attributes=attributes, raw=raw)
    good = preview(messages, Settings(**settings), as_json=as_json, output=output)
    return good, output.getvalue().removesuffix("\n")


def reported(message: Any, **settings: Any) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(shown(message, as_json=True, **settings)[1])
    return found


def test_a_message_shows_its_event_its_channels_and_its_bytes() -> None:
    good, text = shown(SNS)
    assert good
    assert text.splitlines() == [
        "message 1 (SNS notification of a plain message)",
        "  event m1, subject job/7",
        "    to user:42",
        "    | event: event.open",
        "    | data: two",
        "    | data: lines",
        "    | id: <cursor>",
    ]


def test_a_program_gets_the_exact_block() -> None:
    assert reported(SNS)["events"] == [
        {
            "id": "m1",
            "type": "event.open",
            "subject": "job/7",
            "channels": ["user:42"],
            "frame": "event: event.open\ndata: two\ndata: lines\nid: <cursor>\n\n",
        }
    ]


FORMS = {
    "a plain message": {"user_id": "42"},
    "an EventBridge event": EVENTBRIDGE,
    "an EventBridge event of S3": S3_EVENT,
    "an S3 notification": S3,
    "a CloudEvent": CLOUDEVENT,
}


@pytest.mark.parametrize(("form", "message"), FORMS.items())
def test_every_format_is_recognised_as_a_body_in_sns_and_in_sqs(form: str, message: Any) -> None:
    for content, expected in (
        (message, form),
        (wrapped(message), f"SNS notification of {form}"),
        ({"MessageId": "q1", "Body": text_of(message)}, form),
        ({"MessageId": "q1", "Body": text_of(wrapped(message))}, f"SNS notification of {form}"),
    ):
        report = reported(content, **KEYS)
        assert (report["form"], report["rejections"]) == (expected, [])
        assert [event["channels"] for event in report["events"]] == [["user:42"]]


def test_a_topic_in_an_events_detail_is_no_sns_notification() -> None:
    event = {**EVENTBRIDGE, "detail": {"user_id": "42", "TopicArn": SNS["TopicArn"]}}
    assert reported(event)["form"] == "an EventBridge event"


@pytest.mark.parametrize(
    "answer",
    [
        lambda message: {"Messages": [message, message]},
        lambda message: [message, message],
    ],
    ids=["receive-message", "receive-message --query Messages"],
)
def test_all_messages_of_an_answer_of_sqs_are_shown(answer: Any) -> None:
    good, text = shown(answer({"MessageId": "q1", "Body": "hello", "MessageAttributes": ATTRIBUTES}))
    assert good
    assert text.count("message q1 (a plain message)") == 2
    assert text.count("to user:42") == 2


@pytest.mark.parametrize(
    ("attributes", "channels"),
    [
        ('{"user_id": "42"}', ["user:42"]),
        ('{"user_id": 42}', ["user:42"]),
        ('{"user_id": ["42", 7]}', ["user:42", "user:7"]),
        ('{"broadcast": true}', ["broadcast"]),
        ('{"user_id": {"DataType": "String", "StringValue": "42"}}', ["user:42"]),
        ('{"user_id": {"Type": "String", "Value": "42"}}', ["user:42"]),
    ],
)
def test_attributes_may_stand_beside_a_body(attributes: str, channels: list[str]) -> None:
    for message in ("hello", {"Body": "hello"}):
        assert [event["channels"] for event in reported(message, attributes=attributes)["events"]] == [channels]


@pytest.mark.parametrize("text", ["x", "[]", "1", "[" * 100_000])
def test_attributes_that_are_no_object_are_refused(text: str) -> None:
    with pytest.raises(ValueError, match="must be a JSON object"):
        read_attributes(text)


def test_a_raw_body_may_look_like_a_message_of_sqs() -> None:
    report = reported({"Body": "hello", "user_id": "42"}, raw=True)
    assert report["events"][0]["frame"] == 'data: {"Body": "hello", "user_id": "42"}\nid: <cursor>\n\n'


@pytest.mark.parametrize(
    ("message", "reason"),
    [
        ("hello\n", "not_json"),
        ({"user": "42"}, "unrouted"),
        ({"user_id": 4.2}, "names"),
        ({"user_id": " 42"}, "names"),
        ({"user_id": "42", "x": "\0"}, None),
        ('{"user_id": "42"}\0', "nul"),
        ({**SNS, "Message": 7}, "envelope"),
        ({**SNS, "Type": "SubscriptionConfirmation"}, "subscription"),
        ({**SNS, "MessageAttributes": {"user_id": {"Type": "String.Array", "Value": "x"}}}, "attribute"),
        ({**SNS, "MessageAttributes": {"broadcast": {"Type": "String", "Value": "yes"}}}, "broadcast"),
        ({**CLOUDEVENT, "data_base64": "eA=="}, "data"),
        ({**EVENTBRIDGE, "detail-type": "a\nb"}, "type"),
        ({"Records": [RECORD, {"eventSource": "aws:s3"}]}, "s3"),
        ({"user_id": "42", "x": "x" * 2000}, "size"),
    ],
    ids=lambda each: each if isinstance(each, str) and len(each) < 20 and each.isprintable() else "message",
)
def test_a_message_that_is_not_understood_says_why_and_what_to_do(message: Any, reason: str | None) -> None:
    good, text = shown(message, max_event_bytes=1024, **KEYS)
    assert good == (reason is None)
    if reason is not None:
        assert f"not understood ({reason}): " in text
        assert "dead-letter queue" in text
        assert "None" not in text


def test_bytes_that_are_no_text_are_not_understood() -> None:
    messages = read_messages(b'{"user_id":"42","x":"\xff"}')
    output = io.StringIO()
    assert not preview(messages, Settings(), as_json=False, output=output)
    assert "not understood (encoding)" in output.getvalue().splitlines()[1]


@pytest.mark.parametrize("reason", [*ConsumerReason, *RejectionReason])
def test_there_is_advice_for_every_reason(reason: StrEnum) -> None:
    assert ADVICE[reason]


def test_a_message_that_is_discarded_says_so() -> None:
    good, text = shown({"user": "42"}, unrouted="discard")
    assert not good
    assert "SSE_UNROUTED is discard" in text


def test_a_received_message_without_attributes_may_have_some_in_the_queue() -> None:
    assert "--message-attribute-names All" in shown({"Body": "hello"})[1]
    for other in ("hello", {"Body": "hello", "MessageAttributes": {"user": ATTRIBUTES["user_id"]}}):
        assert "--message-attribute-names" not in shown(other)[1]


@pytest.mark.parametrize("message", [S3, S3_EVENT], ids=["notification", "EventBridge"])
def test_an_event_of_s3_names_nobody_without_the_pattern(message: Any) -> None:
    good, text = shown(message)
    assert not good
    assert "SSE_S3_KEY_PATTERN must be set" in text


def test_the_test_notification_of_s3_is_good() -> None:
    good, text = shown({"Service": "Amazon S3", "Event": "s3:TestEvent", "Bucket": "b"})
    assert good
    assert "(an S3 notification)" in text
    assert "has no event" in text


def test_overrides_count() -> None:
    assert shown({"owner": "7"}, route_user="body.owner")[0]


def test_a_bad_record_does_not_hide_the_others() -> None:
    good, text = shown({"Records": [RECORD, {**RECORD, "s3": {}}]}, **KEYS)
    assert not good
    assert "to user:42" in text
    assert "record 1 not understood (s3)" in text


def test_a_record_that_names_nobody_is_dropped_beside_others() -> None:
    other = {**RECORD, "s3": {"object": {"key": "elsewhere"}}}
    good, text = shown({"Records": [RECORD, other]}, **KEYS)
    assert not good
    assert "to user:42" in text
    assert "1 of its records name nobody, and are dropped" in text


def test_a_message_cannot_control_the_terminal() -> None:
    good, text = shown({"MessageId": "q1", "Body": "a\x1b[2J\u2028b\nc", "MessageAttributes": ATTRIBUTES})
    assert good
    assert "\x1b" not in text
    lines = text.split("\n")
    assert lines[0] == "message q1 (a plain message)"
    assert lines[3:] == ["    | data: a\\x1b[2J\\u2028b", "    | data: c", "    | id: <cursor>"]


@pytest.mark.parametrize("message", [{"Messages": [{}]}, {"Messages": ["x"]}, {"Body": "x", "MessageAttributes": [1]}])
def test_what_is_no_message_of_sqs_is_refused(message: Any) -> None:
    with pytest.raises(ValueError, match="message 1"):
        shown(message)


@pytest.mark.parametrize("text", ["", "\n", '{"Messages": []}'])
def test_an_answer_without_messages_says_so(text: str) -> None:
    with pytest.raises(ValueError, match="there is no message"):
        shown(text)
