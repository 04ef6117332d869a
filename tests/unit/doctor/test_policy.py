"""The check whether the queue's policy lets the topic send, and nobody else."""

from __future__ import annotations

import json
from typing import Any

import pytest

from sse_service.doctor.policy import check_policy
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
def test_a_policy_that_lets_only_this_topic_send_is_ok(changed: dict[str, Any]) -> None:
    [found] = check_policy(policy({**SOUND, **changed}), QUEUE, TOPIC)
    assert found.level is Level.OK


def test_a_single_statement_need_not_be_in_a_list() -> None:
    [found] = check_policy(json.dumps({"Statement": SOUND}), QUEUE, TOPIC)
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
def test_a_policy_that_does_not_let_this_topic_send_fails(text: str | None) -> None:
    found = check_policy(text, QUEUE, TOPIC)
    assert found[-1].level is Level.FAIL
    assert "aws:SourceArn" in found[-1].fix


@pytest.mark.parametrize(
    ("statement", "word"),
    [
        (ANYONE, "anybody"),
        ({**ANYONE, "Condition": {"IpAddress": {"aws:SourceIp": "10.0.0.0/8"}}}, "without aws:SourceArn"),
        ({**SOUND, "Condition": {}}, "any topic of any account"),
        ({**SOUND, "Condition": {"StringEquals": {"aws:SourceAccount": "123456789012"}}}, "every topic of an account"),
        ({**ANYONE, "Condition": {"ArnLike": {"aws:SourceArn": "*"}}}, "of any account send"),
        ({**ANYONE, "Condition": {"ArnLike": {"aws:SourceArn": "arn:aws:sns:*:*:*"}}}, "of any account send"),
        ({**SOUND, "Condition": {"ArnLike": {"aws:SourceArn": "arn:aws:sns:*:*:events"}}}, "of any account send"),
        ({**SOUND, "Condition": {"ArnLike": {"aws:SourceArn": "arn:aws:sns:*:1234567890??:events"}}}, "of any account"),
        ({**SOUND, "Condition": {"ForAnyValue:ArnLike": {"aws:SourceArn": "arn:aws:sns:*:*:*"}}}, "of any account"),
        (
            {**SOUND, "Condition": {"ArnLike": {"aws:SourceArn": TOPIC[:-1] + "*"}}},
            f"also lets others send: {TOPIC[:-1]}*",
        ),
        (
            {**SOUND, "Condition": {"ArnEquals": {"aws:SourceArn": [TOPIC, TOPIC + "2"]}}},
            f"also lets others send: {TOPIC}2",
        ),
        (
            {**SOUND, "Condition": {**OF_ITS_ACCOUNT, "ArnLike": {"aws:SourceArn": "arn:aws:sns:*:*:*"}}},
            "also lets others send: arn:aws:sns:*:*:*",
        ),
        ({**SOUND, "Condition": {"StringEqualsIgnoreCase": {"aws:SourceArn": TOPIC.upper()}}}, "also lets others send"),
        ({**SOUND, "Condition": {"StringLike": {"aws:SourceAccount": "*"}}}, "any topic of any account"),
        ({**ANYONE, "Condition": {"ArnEqualsIfExists": {"aws:SourceArn": TOPIC}}}, "without aws:SourceArn"),
        ({**ANYONE, "Condition": {"ForAllValues:ArnEquals": {"aws:SourceArn": TOPIC}}}, "without aws:SourceArn"),
        ({**ANYONE, "Condition": {"ArnNotEquals": {"aws:SourceArn": TOPIC + "2"}}}, "without aws:SourceArn"),
    ],
)
def test_a_policy_that_also_lets_others_send_is_a_warning(statement: dict[str, Any], word: str) -> None:
    [found] = check_policy(policy(statement), QUEUE, TOPIC)
    assert found.level is Level.WARN
    assert word in found.text


OTHER_ACCOUNT = "arn:aws:iam::999999999999:root"


@pytest.mark.parametrize(
    ("changed", "word"),
    [
        ({"Principal": {"AWS": OTHER_ACCOUNT}}, f"also lets others send: {OTHER_ACCOUNT}"),
        ({"Principal": {"AWS": ["999999999999"]}, "Action": "*"}, "also lets others send: 999999999999"),
        ({"Principal": {"AWS": "arn:aws:iam::123456789012:role/a"}, "Action": "sqs:*"}, "123456789012:role/a"),
        ({"Principal": {"Service": "s3.amazonaws.com"}}, "also lets others send: s3.amazonaws.com"),
        ({"Principal": {"Federated": "a.example"}}, "also lets others send: a.example"),
        (
            {"Principal": {"AWS": OTHER_ACCOUNT}, "Condition": {"ArnEqualsIfExists": {"aws:SourceArn": TOPIC}}},
            OTHER_ACCOUNT,
        ),
        ({"Principal": "*"}, "anybody"),
        ({"Principal": None, "NotPrincipal": {"AWS": OTHER_ACCOUNT}}, "anybody"),
        ({"Principal": "*", "Action": None, "NotAction": "sqs:DeleteMessage"}, "anybody"),
        ({"Principal": "*", "Resource": None, "NotResource": QUEUE + "2"}, "anybody"),
        ({"Principal": {"Service": "sns.amazonaws.com"}}, "any topic of any account"),
        ({**SOUND, "Condition": {"ArnEquals": {"aws:SourceArn": TOPIC.replace("12:", "13:")}}}, "13:events"),
    ],
)
def test_another_statement_that_lets_others_send_is_a_warning(changed: dict[str, Any], word: str) -> None:
    other = {"Effect": "Allow", "Action": "sqs:SendMessage", "Resource": QUEUE, **changed}
    [found] = check_policy(policy(SOUND, other), QUEUE, TOPIC)
    assert found.level is Level.WARN
    assert word in found.text


@pytest.mark.parametrize(
    "changed",
    [
        {"Principal": {"AWS": "arn:aws:iam::123456789012:root"}, "Action": "SQS:*"},
        {"Principal": {"AWS": "123456789012"}},
        {"Principal": {"AWS": OTHER_ACCOUNT}, "Condition": NAMES_IT},
        {"Principal": {"AWS": OTHER_ACCOUNT}, "Action": "sqs:ReceiveMessage"},
        {"Principal": {"AWS": OTHER_ACCOUNT}, "Resource": QUEUE + "2"},
        {"Principal": "*", "Condition": {**NAMES_IT, "StringEquals": {"aws:SourceAccount": "999"}}},
        {"Principal": "*", "Action": None, "NotAction": "sqs:*"},
        {"Principal": "*", "Resource": None, "NotResource": QUEUE},
    ],
)
def test_another_statement_that_lets_nobody_else_send_is_ok(changed: dict[str, Any]) -> None:
    other = {"Effect": "Allow", "Action": "sqs:SendMessage", "Resource": QUEUE, **changed}
    [found] = check_policy(policy(SOUND, other), QUEUE, TOPIC)
    assert found.level is Level.OK


def test_a_source_account_of_another_account_is_named() -> None:
    changed = {**SOUND, "Condition": {**NAMES_IT, "StringEquals": {"aws:SourceAccount": "999"}}}
    [found] = check_policy(policy(changed), QUEUE, TOPIC)
    assert "aws:SourceAccount" in found.text


@pytest.mark.parametrize(
    ("changed", "level"),
    [
        ({"Condition": {"ArnNotEquals": {"aws:SourceArn": TOPIC}}}, Level.OK),
        ({"Condition": {"ArnEquals": {"aws:SourceArn": TOPIC + "2"}}}, Level.OK),
        ({"Condition": {"BoolIfExists": {"aws:PrincipalIsAWSService": "false"}}}, Level.OK),
        ({"Principal": None, "NotPrincipal": {"Service": "sns.amazonaws.com"}}, Level.OK),
        ({"Principal": None, "NotPrincipal": {"AWS": OTHER_ACCOUNT}}, Level.FAIL),
        ({"Condition": NAMES_IT}, Level.FAIL),
        ({"Condition": {"ForAnyValue:StringNotEquals": {"aws:SourceAccount": "999"}}}, Level.FAIL),
        ({"Condition": {**NAMES_IT, "IpAddress": {"aws:SourceIp": "10.0.0.0/8"}}}, Level.WARN),
    ],
)
def test_a_deny_counts_only_if_it_applies_to_this_topic(changed: dict[str, Any], level: Level) -> None:
    [found] = check_policy(policy(SOUND, {**ANYONE, "Effect": "Deny", **changed}), QUEUE, TOPIC)
    assert found.level is level


def test_a_deny_with_unknown_conditions_is_a_warning() -> None:
    by_tls = {**ANYONE, "Effect": "Deny", "Condition": {"Bool": {"aws:SecureTransport": "false"}}}
    [found] = check_policy(policy(SOUND, by_tls), QUEUE, TOPIC)
    assert found.level is Level.OK
    [found] = check_policy(policy(SOUND, {**ANYONE, "Effect": "Deny"}), QUEUE, TOPIC)
    assert found.level is Level.FAIL
    by_org = {**ANYONE, "Effect": "Deny", "Condition": {"StringNotEquals": {"aws:SourceOrgID": "o-1"}}}
    [found] = check_policy(policy(SOUND, by_org), QUEUE, TOPIC)
    assert found.level is Level.WARN
    assert "aws:sourceorgid" in found.text
