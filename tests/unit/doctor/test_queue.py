"""What is said of a queue, its dead-letter queue, and their times."""

from __future__ import annotations

import json
from typing import Any

import pytest

from sse_service.doctor.calls import Fault
from sse_service.doctor.queue import judge_queue, region_of
from sse_service.doctor.redrive import Redrive, judge_redrive, read
from sse_service.doctor.report import Finding, Level
from sse_service.doctor.timeouts import judge_timeouts
from sse_service.settings.settings import Settings

URL = "https://sqs.eu-west-1.amazonaws.com/123456789012/events"
ARN = "arn:aws:sqs:eu-west-1:123456789012:events"
DEAD = Redrive("arn:aws:sqs:eu-west-1:123456789012:dead", 5)


def levels(findings: list[Finding]) -> list[Level]:
    return [each.level for each in findings]


@pytest.mark.parametrize(
    ("url", "region"),
    [
        (URL, "eu-west-1"),
        ("https://eu-west-1.queue.amazonaws.com/1/a", "eu-west-1"),
        ("https://sqs.cn-north-1.amazonaws.com.cn/1/a", "cn-north-1"),
        ("https://sqs.us-gov-west-1.amazonaws.com/1/a", "us-gov-west-1"),
        ("https://vpce-0a1b-2c.sqs.us-east-1.vpce.amazonaws.com/1/a", "us-east-1"),
        ("https://sqs.us-east-1.api.aws/1/a", "us-east-1"),
        ("https://queue.amazonaws.com/1/a", None),
        ("http://127.0.0.1:5000/1/a", None),
        ("http://sqs.us-east-1.localhost.localstack.cloud:4566/1/a", None),
    ],
)
def test_the_region_of_a_queue_is_in_its_url(url: str, region: str | None) -> None:
    assert region_of(url) == region


def test_a_queue_that_answers() -> None:
    [found] = judge_queue(URL, "eu-west-1", {"Attributes": {"QueueArn": ARN, "ApproximateNumberOfMessages": "3"}})
    assert (found.level, found.text) == (Level.OK, f"{ARN}, standard, 3 messages waiting")


@pytest.mark.parametrize(
    ("answer", "word"),
    [
        (Fault("AWS.SimpleQueueService.NonExistentQueue"), "there is none"),
        (Fault("AccessDenied"), "sqs:GetQueueAttributes"),
        (Fault("ConnectTimeoutError", unreachable=True), "VPC endpoint"),
        (Fault("ExpiredToken"), "credentials"),
        (Fault("InvalidAddress"), "InvalidAddress"),
        ({"Attributes": {"QueueArn": ARN, "FifoQueue": "true"}}, "FIFO"),
    ],
)
def test_a_queue_that_cannot_be_used(answer: Any, word: str) -> None:
    [found] = judge_queue(URL, "eu-west-1", answer)
    assert found.level is Level.FAIL
    assert word in found.line


def test_a_queue_of_another_region() -> None:
    [found] = judge_queue(URL, "us-east-1", Fault("AWS.SimpleQueueService.NonExistentQueue"))
    assert "SSE_QUEUE_URL is in eu-west-1, the task in us-east-1" in found.text


def test_a_queue_that_takes_less_than_sns() -> None:
    found = judge_queue(URL, "eu-west-1", {"Attributes": {"QueueArn": ARN, "MaximumMessageSize": "65536"}})
    assert levels(found) == [Level.OK, Level.WARN]


def test_a_redrive_policy_is_read_with_a_number_that_is_text_too() -> None:
    policy = json.dumps({"deadLetterTargetArn": DEAD.target_arn, "maxReceiveCount": "5"})
    assert read({"RedrivePolicy": policy}) == DEAD
    assert (DEAD.name, DEAD.account) == ("dead", "123456789012")
    assert Redrive("dead", 5).account == ""


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", '{"deadLetterTargetArn":"a","maxReceiveCount":"many"}'])
def test_what_is_no_redrive_policy(text: str) -> None:
    assert read({"RedrivePolicy": text}) is None
    assert levels(judge_redrive(None, ARN, None)) == [Level.FAIL]


@pytest.mark.parametrize(
    ("redrive", "dead", "expected", "word"),
    [
        (DEAD, {"Attributes": {}}, [Level.OK], "after 5 receives"),
        (DEAD, {"Attributes": {"ApproximateNumberOfMessages": "7"}}, [Level.WARN], "holds 7 messages"),
        (DEAD, Fault("AccessDenied"), [Level.WARN], "sqs:GetQueueUrl"),
        (DEAD, Fault("QueueDoesNotExist"), [Level.FAIL], "is not there"),
        (Redrive(DEAD.target_arn, 1), {"Attributes": {}}, [Level.WARN, Level.OK], "maxReceiveCount is 1"),
        (DEAD, {"Attributes": {"RedriveAllowPolicy": '{"redrivePermission":"denyAll"}'}}, [Level.FAIL], "RedriveAllow"),
        (
            DEAD,
            {"Attributes": {"RedriveAllowPolicy": json.dumps({"redrivePermission": "byQueue", "sourceQueueArns": []})}},
            [Level.FAIL],
            "sourceQueueArns",
        ),
        (
            DEAD,
            {
                "Attributes": {
                    "RedriveAllowPolicy": json.dumps({"redrivePermission": "byQueue", "sourceQueueArns": [ARN]})
                }
            },
            [Level.OK],
            "is empty",
        ),
    ],
)
def test_a_dead_letter_queue(redrive: Redrive, dead: Any, expected: list[Level], word: str) -> None:
    found = judge_redrive(redrive, ARN, dead)
    assert levels(found) == expected
    assert word in found[0].line


def times(
    queue: dict[str, str] | None, *, dead: dict[str, str] | None = None, redrive: Redrive | None = DEAD, **settings: int
) -> list[Finding]:
    return judge_timeouts(Settings(**settings), queue, redrive, dead)


SOUND = {"VisibilityTimeout": "30", "MessageRetentionPeriod": "345600", "DelaySeconds": "0"}


def test_times_that_agree() -> None:
    [found] = times(SOUND, dead={"MessageRetentionPeriod": "1209600"})
    assert found.level is Level.OK
    assert "30 s x 5 within SSE_DEDUPE_SECONDS 900" in found.text
    assert levels(times(SOUND, redrive=None)) == [Level.OK]


def test_a_dedupe_window_that_ends_before_the_last_redelivery() -> None:
    assert levels(times(SOUND, dedupe_seconds=150)) == [Level.OK]
    [found] = times(SOUND, dedupe_seconds=149)
    assert found.level is Level.FAIL
    assert "raise SSE_DEDUPE_SECONDS to 150" in found.do


@pytest.mark.parametrize(
    ("changed", "word"),
    [
        ({"VisibilityTimeout": "9"}, "VisibilityTimeout is 9 s"),
        ({"DelaySeconds": "5"}, "DelaySeconds is 5"),
        ({"MessageRetentionPeriod": "43199"}, "12 hours"),
    ],
)
def test_times_of_the_queue_that_weaken_a_promise(changed: dict[str, str], word: str) -> None:
    [found] = times({**SOUND, **changed})
    assert found.level is Level.WARN
    assert word in found.text


def test_messages_that_expire_before_they_are_dead_letters_or_right_after() -> None:
    found = times({**SOUND, "MessageRetentionPeriod": "120"})
    assert "expires before it is a dead letter" in found[-1].text
    [found_dead] = times(SOUND, dead={"MessageRetentionPeriod": "86400"})
    assert "counted from when they were sent" in found_dead.text


def test_a_history_that_is_shorter_than_the_longest_retry_is_said_also_without_the_queue() -> None:
    found = times(None, history_seconds=59)
    assert levels(found) == [Level.WARN, Level.SKIP]
    assert "told a gap each time" in found[0].text
    assert levels(times(None, history_seconds=60)) == [Level.SKIP]
