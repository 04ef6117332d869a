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
NAMES_IT = {"ArnEquals": {"aws:SourceArn": TOPIC}}
OF_ITS_ACCOUNT = {"StringEquals": {"aws:SourceAccount": "123456789012"}}
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
        {"Condition": {"ArnLike": {"AWS:SourceArn": "arn:aws:sns:*:123456789012:events"}}},
        {"Condition": {"StringEquals": {"aws:SourceArn": TOPIC}}},
        {"Condition": {"ForAnyValue:ArnLike": {"aws:SourceArn": TOPIC}}},
        {"Condition": {"ForAllValues:ArnLikeIfExists": {"aws:SourceArn": TOPIC}}},
        {"Condition": {"ArnLike": {"aws:SourceArn": TOPIC, "aws:SourceAccount": "123456789012"}}},
        {"Condition": {**NAMES_IT, "StringEquals": {"aws:SourceAccount": ["999", "123456789012"]}}},
        {"Condition": {**NAMES_IT, "StringEquals": {"aws:SourceAccount": "${aws:ResourceAccount}"}}},
        {"Condition": {**NAMES_IT, "Null": {"aws:SourceArn": "false"}}},
        {"Condition": {**NAMES_IT, "ArnLike": {"aws:SourceArn": "arn:aws:sns:*:*:*"}}},
        {"Condition": {**OF_ITS_ACCOUNT, "ArnLike": {"aws:SourceArn": "arn:aws:sns:*:*:events"}}},
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
        policy({**SOUND, "Condition": {**NAMES_IT, "StringEquals": {"aws:SourceAccount": "999"}}}),
        policy({**SOUND, "Condition": {"ArnEquals": {"aws:SourceArn": TOPIC}, "ArnLike": {"aws:SourceArn": "a:*"}}}),
        policy({**SOUND, "Condition": {"StringEquals": {"aws:SourceArn": "arn:aws:sns:*:*:events"}}}),
        policy({**SOUND, "Condition": {"ArnNotEquals": {"aws:SourceArn": TOPIC}}}),
        policy({**SOUND, "Condition": {"Null": {"aws:SourceArn": "true"}}}),
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
        ({**ANYONE, "Condition": {"ArnLike": {"aws:SourceArn": "*"}}}, "of any account send"),
        ({**ANYONE, "Condition": {"ArnLike": {"aws:SourceArn": "arn:aws:sns:*:*:*"}}}, "of any account send"),
        ({**SOUND, "Condition": {"ArnLike": {"aws:SourceArn": "arn:aws:sns:*:*:events"}}}, "of any account send"),
        ({**SOUND, "Condition": {"ArnLike": {"aws:SourceArn": "arn:aws:sns:*:1234567890??:events"}}}, "of any account"),
        ({**SOUND, "Condition": {"ForAnyValue:ArnLike": {"aws:SourceArn": "arn:aws:sns:*:*:*"}}}, "of any account"),
        ({**SOUND, "Condition": {"ArnLike": {"aws:SourceArn": TOPIC[:-1] + "*"}}}, f"others send, too: {TOPIC[:-1]}*"),
        ({**SOUND, "Condition": {"ArnEquals": {"aws:SourceArn": [TOPIC, TOPIC + "2"]}}}, f"others send, too: {TOPIC}2"),
        (
            {**SOUND, "Condition": {**OF_ITS_ACCOUNT, "ArnLike": {"aws:SourceArn": "arn:aws:sns:*:*:*"}}},
            "others send, too: arn:aws:sns:*:*:*",
        ),
        ({**SOUND, "Condition": {"StringEqualsIgnoreCase": {"aws:SourceArn": TOPIC.upper()}}}, "others send, too"),
        ({**SOUND, "Condition": {"StringLike": {"aws:SourceAccount": "*"}}}, "any topic"),
        ({**ANYONE, "Condition": {"ArnEqualsIfExists": {"aws:SourceArn": TOPIC}}}, "without aws:SourceArn"),
        ({**ANYONE, "Condition": {"ForAllValues:ArnEquals": {"aws:SourceArn": TOPIC}}}, "without aws:SourceArn"),
        ({**ANYONE, "Condition": {"ArnNotEquals": {"aws:SourceArn": TOPIC + "2"}}}, "without aws:SourceArn"),
    ],
)
def test_a_policy_that_lets_others_send_as_well(statement: dict[str, Any], word: str) -> None:
    [found] = judge_policy(policy(statement), QUEUE, TOPIC)
    assert found.level is Level.WARN
    assert word in found.text


STRANGER = "arn:aws:iam::999999999999:root"


@pytest.mark.parametrize(
    ("changed", "word"),
    [
        ({"Principal": {"AWS": STRANGER}}, f"others send, too: {STRANGER}"),
        ({"Principal": {"AWS": ["999999999999"]}, "Action": "*"}, "others send, too: 999999999999"),
        ({"Principal": {"AWS": "arn:aws:iam::123456789012:role/a"}, "Action": "sqs:*"}, "123456789012:role/a"),
        ({"Principal": {"Service": "s3.amazonaws.com"}}, "others send, too: s3.amazonaws.com"),
        ({"Principal": {"Federated": "a.example"}}, "others send, too: a.example"),
        ({"Principal": {"AWS": STRANGER}, "Condition": {"ArnEqualsIfExists": {"aws:SourceArn": TOPIC}}}, STRANGER),
        ({"Principal": "*"}, "anybody"),
        ({"Principal": None, "NotPrincipal": {"AWS": STRANGER}}, "anybody"),
        ({"Principal": "*", "Action": None, "NotAction": "sqs:DeleteMessage"}, "anybody"),
        ({"Principal": "*", "Resource": None, "NotResource": QUEUE + "2"}, "anybody"),
        ({"Principal": {"Service": "sns.amazonaws.com"}}, "any topic"),
        ({**SOUND, "Condition": {"ArnEquals": {"aws:SourceArn": TOPIC.replace("12:", "13:")}}}, "13:events"),
    ],
)
def test_another_statement_that_lets_others_send(changed: dict[str, Any], word: str) -> None:
    other = {"Effect": "Allow", "Action": "sqs:SendMessage", "Resource": QUEUE, **changed}
    [found] = judge_policy(policy(SOUND, other), QUEUE, TOPIC)
    assert found.level is Level.WARN
    assert word in found.text


@pytest.mark.parametrize(
    "changed",
    [
        {"Principal": {"AWS": "arn:aws:iam::123456789012:root"}, "Action": "SQS:*"},
        {"Principal": {"AWS": "123456789012"}},
        {"Principal": {"AWS": STRANGER}, "Condition": NAMES_IT},
        {"Principal": {"AWS": STRANGER}, "Action": "sqs:ReceiveMessage"},
        {"Principal": {"AWS": STRANGER}, "Resource": QUEUE + "2"},
        {"Principal": "*", "Condition": {**NAMES_IT, "StringEquals": {"aws:SourceAccount": "999"}}},
        {"Principal": "*", "Action": None, "NotAction": "sqs:*"},
        {"Principal": "*", "Resource": None, "NotResource": QUEUE},
    ],
)
def test_another_statement_by_which_nobody_else_sends(changed: dict[str, Any]) -> None:
    other = {"Effect": "Allow", "Action": "sqs:SendMessage", "Resource": QUEUE, **changed}
    [found] = judge_policy(policy(SOUND, other), QUEUE, TOPIC)
    assert found.level is Level.OK


def test_a_source_account_that_is_anothers_is_named() -> None:
    changed = {**SOUND, "Condition": {**NAMES_IT, "StringEquals": {"aws:SourceAccount": "999"}}}
    [found] = judge_policy(policy(changed), QUEUE, TOPIC)
    assert "aws:SourceAccount" in found.text


@pytest.mark.parametrize(
    ("changed", "level"),
    [
        ({"Condition": {"ArnNotEquals": {"aws:SourceArn": TOPIC}}}, Level.OK),
        ({"Condition": {"ArnEquals": {"aws:SourceArn": TOPIC + "2"}}}, Level.OK),
        ({"Condition": {"BoolIfExists": {"aws:PrincipalIsAWSService": "false"}}}, Level.OK),
        ({"Principal": None, "NotPrincipal": {"Service": "sns.amazonaws.com"}}, Level.OK),
        ({"Principal": None, "NotPrincipal": {"AWS": STRANGER}}, Level.FAIL),
        ({"Condition": NAMES_IT}, Level.FAIL),
        ({"Condition": {"ForAnyValue:StringNotEquals": {"aws:SourceAccount": "999"}}}, Level.FAIL),
        ({"Condition": {**NAMES_IT, "IpAddress": {"aws:SourceIp": "10.0.0.0/8"}}}, Level.WARN),
    ],
)
def test_a_denial_is_judged_by_what_it_says_of_this_topic(changed: dict[str, Any], level: Level) -> None:
    [found] = judge_policy(policy(SOUND, {**ANYONE, "Effect": "Deny", **changed}), QUEUE, TOPIC)
    assert found.level is level


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


def test_the_advice_on_a_key_names_the_topic() -> None:
    for attributes, described, text in (
        (NAMED, ENABLED, {"Policy": policy()}),
        (NAMED, ENABLED, {"Policy": "?"}),
        (NAMED, ENABLED, Fault("AccessDeniedException")),
        ({"KmsMasterKeyId": "alias/aws/sqs"}, None, None),
    ):
        assert "aws:SourceArn" in judge_key(attributes, described, text, TOPIC).do


def test_a_key_is_not_held_against_a_topic_that_failed() -> None:
    def judge(attributes: dict[str, str], described: Any = None, text: Any = None) -> Level:
        return judge_key(attributes, described, text, None).level

    assert judge({}) is Level.OK
    assert judge({"KmsMasterKeyId": "alias/aws/sqs"}) is Level.FAIL
    assert judge(NAMED, {"KeyMetadata": {"KeyState": "Disabled"}}) is Level.FAIL
    assert judge(NAMED, ENABLED, {"Policy": policy()}) is Level.SKIP
    assert judge(NAMED, ENABLED, {"Policy": USED}) is Level.SKIP


def test_a_key_that_cannot_be_asked_about() -> None:
    found = judge_key(NAMED, Fault("ValueError", do="look here"), None, TOPIC)
    assert (found.level, found.do) == (Level.FAIL, "look here")


def test_only_a_key_of_ones_own_is_asked_about() -> None:
    assert customer_key({}) is None
    assert customer_key({"KmsMasterKeyId": "alias/aws/sqs"}) is None
    assert customer_key(NAMED) == "alias/mine"
