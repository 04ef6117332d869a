"""The check whether the policy of the queue's key lets SNS use it."""

from __future__ import annotations

from typing import Any

import pytest

from sse_service.doctor.aws_calls import Fault
from sse_service.doctor.key import check_key, customer_key
from sse_service.doctor.report import Level
from tests.unit.doctor.test_policy import SOUND, TOPIC, policy

USED = policy({**SOUND, "Action": ["kms:GenerateDataKey*", "kms:Decrypt"], "Resource": "*", "Condition": {}})
NAMED = {"KmsMasterKeyId": "alias/mine"}
ENABLED = {"KeyMetadata": {"KeyId": "1", "KeyManager": "CUSTOMER", "KeyState": "Enabled"}}


@pytest.mark.parametrize(
    ("attributes", "described", "text", "level", "word"),
    [
        ({}, None, None, Level.OK, "not encrypted"),
        ({"SqsManagedSseEnabled": "true"}, None, None, Level.OK, "SSE-SQS"),
        ({"KmsMasterKeyId": "alias/aws/sqs"}, None, None, Level.FAIL, "alias/aws/sqs"),
        ({"KmsMasterKeyId": "arn:aws:kms:eu-west-1:1:alias/aws/sqs"}, None, None, Level.FAIL, "SSE-SQS"),
        (NAMED, {"KeyMetadata": {"KeyManager": "AWS"}}, None, Level.FAIL, "alias/aws/sqs"),
        (NAMED, Fault("AccessDeniedException"), None, Level.WARN, "could not be checked"),
        (NAMED, Fault("NotFoundException"), None, Level.FAIL, "does not exist"),
        (NAMED, {"KeyMetadata": {"KeyState": "PendingDeletion"}}, None, Level.FAIL, "PendingDeletion"),
        (NAMED, ENABLED, Fault("AccessDeniedException"), Level.WARN, "kms:GetKeyPolicy"),
        (NAMED, ENABLED, {"Policy": USED}, Level.OK, "SNS may use it"),
        (NAMED, ENABLED, {"Policy": USED.replace("sns.", "sqs.")}, Level.FAIL, "kms:GenerateDataKey, kms:Decrypt"),
        (NAMED, ENABLED, {"Policy": USED.replace("kms:Decrypt", "kms:Encrypt")}, Level.FAIL, "for kms:Decrypt"),
        (NAMED, ENABLED, {"Policy": "?"}, Level.WARN, "cannot be read"),
    ],
)
def test_each_state_of_the_key_has_its_own_line(
    attributes: dict[str, str], described: Any, text: Any, level: Level, word: str
) -> None:
    found = check_key(attributes, described, text, TOPIC)
    assert found.level is level
    assert word in found.line


def test_a_key_policy_may_name_topics() -> None:
    def level(source: str, topic: str) -> Level:
        statement = {**SOUND, "Action": "kms:*", "Condition": {"ArnLike": {"aws:SourceArn": source}}}
        return check_key(NAMED, ENABLED, {"Policy": policy(statement)}, topic).level

    assert level("arn:aws:sns:eu-west-1:123456789012:ev*", TOPIC) is Level.OK
    assert level("arn:aws:sns:eu-west-1:123456789012:other-*", TOPIC) is Level.FAIL
    assert level("arn:aws:sns:eu-west-1:123456789012:other-*", "") is Level.OK


def test_the_advice_on_a_key_names_the_topic() -> None:
    for attributes, described, text in (
        (NAMED, ENABLED, {"Policy": policy()}),
        (NAMED, ENABLED, {"Policy": "?"}),
        (NAMED, ENABLED, Fault("AccessDeniedException")),
        ({"KmsMasterKeyId": "alias/aws/sqs"}, None, None),
    ):
        assert "aws:SourceArn" in check_key(attributes, described, text, TOPIC).fix


def test_the_key_policy_is_not_checked_if_the_topic_failed() -> None:
    def level(attributes: dict[str, str], described: Any = None, text: Any = None) -> Level:
        return check_key(attributes, described, text, None).level

    assert level({}) is Level.OK
    assert level({"KmsMasterKeyId": "alias/aws/sqs"}) is Level.FAIL
    assert level(NAMED, {"KeyMetadata": {"KeyState": "Disabled"}}) is Level.FAIL
    assert level(NAMED, ENABLED, {"Policy": policy()}) is Level.SKIP
    assert level(NAMED, ENABLED, {"Policy": USED}) is Level.SKIP


def test_the_advice_of_a_call_that_could_not_be_made_is_shown() -> None:
    found = check_key(NAMED, Fault("ValueError", fix="look here"), None, TOPIC)
    assert (found.level, found.fix) == (Level.FAIL, "look here")


def test_kms_is_asked_only_about_a_customer_key() -> None:
    assert customer_key({}) is None
    assert customer_key({"KmsMasterKeyId": "alias/aws/sqs"}) is None
    assert customer_key(NAMED) == "alias/mine"
