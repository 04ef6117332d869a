"""Whether a queue's policy lets the topic send, and a key's lets SNS use it."""

from __future__ import annotations

import json
from typing import Any

import pytest

from sse_service.doctor.calls import Fault
from sse_service.doctor.key import customer_key, judge_key
from sse_service.doctor.policy import judge_policy
from sse_service.doctor.report import Level

TOPIC = "arn:aws:sns:eu-west-1:123456789012:events"
QUEUE = "arn:aws:sqs:eu-west-1:123456789012:events"
SOUND = {
    "Effect": "Allow",
    "Principal": {"Service": "sns.amazonaws.com"},
    "Action": "sqs:SendMessage",
    "Resource": QUEUE,
    "Condition": {"ArnEquals": {"aws:SourceArn": TOPIC}},
}
ANYONE = {"Effect": "Allow", "Principal": "*", "Action": "SQS:*", "Resource": "*"}


def policy(*statements: Any) -> str:
    return json.dumps({"Version": "2012-10-17", "Statement": statements})


@pytest.mark.parametrize(
    "changed",
    [
        {},
        {"Principal": "*"},
        {"Principal": {"AWS": "*"}},
        {"Principal": {"Service": ["events.amazonaws.com", "sns.amazonaws.com"]}},
        {"Principal": {"Service": "sns.eu-west-1.amazonaws.com"}},
        {"Action": ["SQS:SendMessage", "sqs:ReceiveMessage"]},
        {"Action": "sqs:*"},
        {"Action": "*"},
        {"Resource": "arn:aws:sqs:*:*:ev?nts"},
        {"Condition": {"ArnLike": {"AWS:SourceArn": ["arn:aws:sns:*:*:other", "arn:aws:sns:*:123456789012:*"]}}},
        {"Condition": {"StringEquals": {"aws:SourceArn": TOPIC}}},
    ],
)
def test_a_policy_that_lets_this_topic_send(changed: dict[str, Any]) -> None:
    [found] = judge_policy(policy({**SOUND, **changed}), QUEUE, TOPIC)
    assert found.level is Level.OK


def test_one_statement_need_not_be_a_list() -> None:
    [found] = judge_policy(json.dumps({"Statement": SOUND}), QUEUE, TOPIC)
    assert found.level is Level.OK


@pytest.mark.parametrize(
    "text",
    [
        None,
        "",
        "{",
        "[]",
        policy(),
        policy("?"),
        policy({**SOUND, "Principal": {"Service": "events.amazonaws.com"}}),
        policy({**SOUND, "Principal": {"AWS": "arn:aws:iam::123456789012:root"}}),
        policy({**SOUND, "Principal": None}),
        policy({**SOUND, "Action": "sqs:ReceiveMessage"}),
        policy({**SOUND, "Resource": QUEUE + "2"}),
        policy({**SOUND, "Condition": {"ArnEquals": {"aws:SourceArn": TOPIC + "2"}}}),
        policy({**SOUND, "Effect": "Deny"}),
    ],
)
def test_a_policy_that_does_not(text: str | None) -> None:
    found = judge_policy(text, QUEUE, TOPIC)
    assert found[-1].level is Level.FAIL
    assert "aws:SourceArn" in found[-1].do


@pytest.mark.parametrize(
    ("statement", "word"),
    [
        (ANYONE, "anybody"),
        ({**ANYONE, "Condition": {"IpAddress": {"aws:SourceIp": "10.0.0.0/8"}}}, "without aws:SourceArn"),
        ({**SOUND, "Condition": {}}, "any topic"),
        ({**SOUND, "Condition": {"StringEquals": {"aws:SourceAccount": "123456789012"}}}, "every topic of an account"),
    ],
)
def test_a_policy_that_lets_others_send_as_well(statement: dict[str, Any], word: str) -> None:
    [found] = judge_policy(policy(statement), QUEUE, TOPIC)
    assert found.level is Level.WARN
    assert word in found.text


def test_a_policy_that_denies() -> None:
    by_tls = {**ANYONE, "Effect": "Deny", "Condition": {"Bool": {"aws:SecureTransport": "false"}}}
    [found] = judge_policy(policy(SOUND, by_tls), QUEUE, TOPIC)
    assert found.level is Level.OK
    [found] = judge_policy(policy(SOUND, {**ANYONE, "Effect": "Deny"}), QUEUE, TOPIC)
    assert found.level is Level.FAIL
    by_org = {**ANYONE, "Effect": "Deny", "Condition": {"StringNotEquals": {"aws:SourceOrgID": "o-1"}}}
    [found] = judge_policy(policy(SOUND, by_org), QUEUE, TOPIC)
    assert found.level is Level.WARN
    assert "aws:sourceorgid" in found.text


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
        (NAMED, Fault("AccessDeniedException"), None, Level.WARN, "could not be looked at"),
        (NAMED, Fault("NotFoundException"), None, Level.FAIL, "is not there"),
        (NAMED, {"KeyMetadata": {"KeyState": "PendingDeletion"}}, None, Level.FAIL, "PendingDeletion"),
        (NAMED, ENABLED, Fault("AccessDeniedException"), Level.WARN, "kms:GetKeyPolicy"),
        (NAMED, ENABLED, {"Policy": USED}, Level.OK, "SNS may use it"),
        (NAMED, ENABLED, {"Policy": USED.replace("sns.", "sqs.")}, Level.FAIL, "kms:GenerateDataKey, kms:Decrypt"),
        (NAMED, ENABLED, {"Policy": USED.replace("kms:Decrypt", "kms:Encrypt")}, Level.FAIL, "for kms:Decrypt"),
        (NAMED, ENABLED, {"Policy": "?"}, Level.WARN, "cannot be read"),
    ],
)
def test_the_key(attributes: dict[str, str], described: Any, text: Any, level: Level, word: str) -> None:
    found = judge_key(attributes, described, text, TOPIC)
    assert found.level is level
    assert word in found.line


def test_a_key_that_sns_may_use_for_some_topics_only() -> None:
    def judge(source: str, topic: str) -> Level:
        statement = {**SOUND, "Action": "kms:*", "Condition": {"ArnLike": {"aws:SourceArn": source}}}
        return judge_key(NAMED, ENABLED, {"Policy": policy(statement)}, topic).level

    assert judge("arn:aws:sns:eu-west-1:123456789012:ev*", TOPIC) is Level.OK
    assert judge("arn:aws:sns:eu-west-1:123456789012:other-*", TOPIC) is Level.FAIL
    assert judge("arn:aws:sns:eu-west-1:123456789012:other-*", "") is Level.OK


def test_only_a_key_of_ones_own_is_asked_about() -> None:
    assert customer_key({}) is None
    assert customer_key({"KmsMasterKeyId": "alias/aws/sqs"}) is None
    assert customer_key(NAMED) == "alias/mine"
