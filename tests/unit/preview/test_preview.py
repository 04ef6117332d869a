"""What a message becomes, from each form in which an operator may have it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

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


def shown(tmp_path: Path, message: Any, *, as_json: bool = False, **settings: Any) -> tuple[bool, str]:
    file = tmp_path / "message"
    file.write_text(message if isinstance(message, str) else json.dumps(message))
    lines: list[str] = []
    good = preview(str(file), Settings(**settings), as_json=as_json, write=lines.append)
    return good, "\n".join(lines)


def test_a_message_shows_its_event_its_channels_and_its_bytes(tmp_path: Path) -> None:
    good, text = shown(tmp_path, SNS)
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


@pytest.mark.parametrize(
    ("message", "form"),
    [
        ({"Messages": [{"MessageId": "q1", "Body": "hello", "MessageAttributes": ATTRIBUTES}]}, "a plain message"),
        ({"MessageId": "q1", "Body": "hello", "MessageAttributes": ATTRIBUTES}, "a plain message"),
        ({"MessageId": "q1", "Body": json.dumps(EVENTBRIDGE)}, "an EventBridge event"),
        (EVENTBRIDGE, "an EventBridge event"),
        ({"specversion": "1.0", "id": "1", "source": "/s", "type": "t", "data": {"user_id": 42}}, "a CloudEvent"),
        ({"user_id": "42"}, "a plain message"),
    ],
    ids=["receive-message", "message", "message of EventBridge", "EventBridge", "CloudEvents", "body"],
)
def test_every_form_of_a_message_is_recognised(tmp_path: Path, message: Any, form: str) -> None:
    good, text = shown(tmp_path, message)
    assert good
    assert f"({form})" in text
    assert "to user:42" in text


@pytest.mark.parametrize(
    ("message", "reason"),
    [
        ("hello\n", "not_json"),
        ({"user": "42"}, "unrouted"),
        ({"user_id": 4.2}, "names"),
        ({**SNS, "Message": 7}, "envelope"),
    ],
    ids=["text", "misspelled", "float", "broken envelope"],
)
def test_a_message_that_reaches_nobody_says_why(tmp_path: Path, message: Any, reason: str) -> None:
    good, text = shown(tmp_path, message)
    assert not good
    assert f"not understood ({reason})" in text
    assert "dead-letter queue" in text


def test_a_message_that_is_discarded_says_so(tmp_path: Path) -> None:
    good, text = shown(tmp_path, {"user": "42"}, unrouted="discard")
    assert not good
    assert "SSE_UNROUTED is discard" in text


def test_overrides_count(tmp_path: Path) -> None:
    assert shown(tmp_path, {"owner": "7"}, route_user="body.owner")[0]


def test_a_bad_record_does_not_hide_the_others(tmp_path: Path) -> None:
    record = {"eventSource": "aws:s3", "eventName": "ObjectCreated:Put", "s3": {"object": {"key": "users/42/a.txt"}}}
    bad = {"eventSource": "aws:s3", "eventName": "ObjectCreated:Put", "s3": {}}
    good, text = shown(tmp_path, {"Records": [record, bad]}, s3_key_pattern="users/{user}/*")
    assert not good
    assert "to user:42" in text
    assert "record 1 not understood (s3)" in text


def test_a_program_gets_an_object_for_each_message(tmp_path: Path) -> None:
    _, text = shown(tmp_path, SNS, as_json=True)
    assert json.loads(text)["events"] == [
        {
            "id": "m1",
            "type": "open",
            "subject": "job/7",
            "channels": ["user:42"],
            "frame": "event: event.open\ndata: two\ndata: lines\nid: <cursor>\n",
        }
    ]


@pytest.mark.parametrize("message", [{"Messages": [{}]}, {"Messages": ["x"]}, {"Body": "x", "MessageAttributes": [1]}])
def test_what_is_no_message_of_sqs_is_refused(tmp_path: Path, message: Any) -> None:
    with pytest.raises(ValueError, match="message 1"):
        shown(tmp_path, message)
