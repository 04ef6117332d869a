"""The check of the dead-letter queue."""

from __future__ import annotations

import json
from typing import Any

import pytest

from sse_service.doctor.aws_calls import Fault
from sse_service.doctor.redrive import RedrivePolicy, check_redrive, read_redrive_policy
from sse_service.doctor.report import Finding, Level

ARN = "arn:aws:sqs:eu-west-1:123456789012:events"
REDRIVE = RedrivePolicy("arn:aws:sqs:eu-west-1:123456789012:dead", 5)


def levels(findings: list[Finding]) -> list[Level]:
    return [each.level for each in findings]


def test_max_receive_count_may_be_a_string() -> None:
    policy = json.dumps({"deadLetterTargetArn": REDRIVE.target_arn, "maxReceiveCount": "5"})
    assert read_redrive_policy({"RedrivePolicy": policy}) == REDRIVE
    assert (REDRIVE.name, REDRIVE.account) == ("dead", "123456789012")
    assert RedrivePolicy("dead", 5).account == ""


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", '{"deadLetterTargetArn":"a","maxReceiveCount":"many"}'])
def test_a_broken_redrive_policy_counts_as_none(text: str) -> None:
    assert read_redrive_policy({"RedrivePolicy": text}) is None
    assert levels(check_redrive(None, ARN, None)) == [Level.FAIL]


@pytest.mark.parametrize(
    ("redrive", "dead", "expected", "word"),
    [
        (REDRIVE, {"Attributes": {}}, [Level.OK], "after 5 receives"),
        (REDRIVE, {"Attributes": {"ApproximateNumberOfMessages": "7"}}, [Level.WARN], "holds 7 messages"),
        (REDRIVE, Fault("AccessDenied"), [Level.WARN], "sqs:GetQueueUrl"),
        (REDRIVE, Fault("QueueDoesNotExist"), [Level.FAIL], "does not exist"),
        (RedrivePolicy(REDRIVE.target_arn, 1), {"Attributes": {}}, [Level.WARN, Level.OK], "maxReceiveCount is 1"),
        (
            REDRIVE,
            {"Attributes": {"RedriveAllowPolicy": '{"redrivePermission":"denyAll"}'}},
            [Level.FAIL],
            "RedriveAllow",
        ),
        (
            REDRIVE,
            {"Attributes": {"RedriveAllowPolicy": json.dumps({"redrivePermission": "byQueue", "sourceQueueArns": []})}},
            [Level.FAIL],
            "sourceQueueArns",
        ),
        (
            REDRIVE,
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
def test_each_state_of_the_dead_letter_queue_has_its_own_line(
    redrive: RedrivePolicy, dead: Any, expected: list[Level], word: str
) -> None:
    found = check_redrive(redrive, ARN, dead)
    assert levels(found) == expected
    assert word in found[0].line
