"""What is said of a topic, of the queue's subscription to it, and of the subscription's filter."""

from __future__ import annotations

import json
from typing import Any

import pytest

from sse_service.doctor import canary
from sse_service.doctor.calls import Fault
from sse_service.doctor.filters import stopped_by
from sse_service.doctor.report import Level
from sse_service.doctor.subscription import drops, find, judge_listing, judge_subscription
from sse_service.doctor.topic import judge_topic, judge_topic_arn

TOPIC = "arn:aws:sns:eu-west-1:123456789012:events"
QUEUE = "arn:aws:sqs:eu-west-1:123456789012:events"
SUBSCRIPTION = f"{TOPIC}:1"
BIRD = canary.make()


def test_the_arn_of_the_topic() -> None:
    unset = judge_topic_arn("", "eu-west-1")
    elsewhere = judge_topic_arn(TOPIC, "us-east-1")
    assert unset is not None
    assert elsewhere is not None
    assert (unset.level, elsewhere.level) == (Level.FAIL, Level.WARN)
    assert judge_topic_arn(TOPIC, "eu-west-1") is None


@pytest.mark.parametrize(
    ("answer", "level"),
    [
        ({"Attributes": {}}, Level.OK),
        ({"Attributes": {"FifoTopic": "true"}}, Level.WARN),
        (Fault("NotFound"), Level.FAIL),
        (Fault("AuthorizationError"), Level.WARN),
        (Fault("ConnectTimeoutError", unreachable=True), Level.FAIL),
        (Fault("InvalidParameter"), Level.FAIL),
        (Fault("ValueError", do="look here"), Level.FAIL),
    ],
)
def test_the_topic(answer: Any, level: Level) -> None:
    assert judge_topic(TOPIC, answer).level is level


def test_the_queues_subscription_is_the_one_that_is_confirmed() -> None:
    waiting = {"Protocol": "sqs", "Endpoint": QUEUE, "SubscriptionArn": "PendingConfirmation"}
    others = [
        {"Protocol": "sqs", "Endpoint": QUEUE + "2", "SubscriptionArn": f"{TOPIC}:2"},
        {"Protocol": "https", "Endpoint": QUEUE, "SubscriptionArn": f"{TOPIC}:3"},
    ]
    assert find(others, QUEUE) is None
    assert find([*others, waiting], QUEUE) == "PendingConfirmation"
    assert find([waiting, {**waiting, "SubscriptionArn": SUBSCRIPTION}], QUEUE) == SUBSCRIPTION


@pytest.mark.parametrize(
    ("arn", "answer", "level", "word"),
    [
        (None, None, Level.FAIL, "not subscribed"),
        ("PendingConfirmation", None, Level.FAIL, "waits for confirmation"),
        (SUBSCRIPTION, {"Attributes": {"PendingConfirmation": "true"}}, Level.FAIL, "waits for confirmation"),
        (SUBSCRIPTION, {"Attributes": {"PendingConfirmation": "false"}}, Level.OK, "no filter policy"),
        (SUBSCRIPTION, {"Attributes": {"FilterPolicy": "{}"}}, Level.OK, "no filter policy"),
        (SUBSCRIPTION, {"Attributes": {"RawMessageDelivery": "true"}}, Level.WARN, "more than 10 attributes"),
        (SUBSCRIPTION, Fault("AuthorizationError"), Level.WARN, "sns:GetSubscriptionAttributes"),
        (SUBSCRIPTION, {"Attributes": {"FilterPolicy": "{"}}, Level.WARN, "cannot be read"),
        (SUBSCRIPTION, {"Attributes": {"FilterPolicy": "[]"}}, Level.WARN, "cannot be read"),
    ],
)
def test_the_subscription(arn: str | None, answer: Any, level: Level, word: str) -> None:
    [found] = judge_subscription(arn, answer, BIRD.attributes, BIRD.body)
    assert found.level is level
    assert word in found.line
    assert not drops(answer, BIRD.attributes, BIRD.body)


def test_subscriptions_that_may_not_be_listed() -> None:
    assert judge_listing(Fault("AuthorizationError")).level is Level.WARN


@pytest.mark.parametrize(
    ("policy", "scope", "level"),
    [
        ({"user_id": [{"exists": True}]}, "", Level.OK),
        ({"$or": [{"group": [{"exists": True}]}, {"user_id": [{"exists": True}]}]}, "MessageAttributes", Level.OK),
        ({"user_id": ["7"]}, "MessageAttributes", Level.FAIL),
        ({"broadcast": ["true"]}, "", Level.FAIL),
        ({"event_type": ["upload.done"]}, "", Level.WARN),
        ({"user_id": [{"exists": True}]}, "MessageBody", Level.OK),
        ({"user_id": ["7"]}, "MessageBody", Level.WARN),
        ({"event_type": ["x" * 1000]}, "", Level.WARN),
    ],
)
def test_a_filter_policy(policy: dict[str, Any], scope: str, level: Level) -> None:
    answer = {"Attributes": {"FilterPolicy": json.dumps(policy), "FilterPolicyScope": scope}}
    [found] = judge_subscription(SUBSCRIPTION, answer, BIRD.attributes, BIRD.body)
    assert found.level is level
    assert len(found.line) < 700
    assert drops(answer, BIRD.attributes, BIRD.body) is (level is not Level.OK)


@pytest.mark.parametrize(
    ("condition", "passes"),
    [
        ("done", True),
        ("undone", False),
        (1, False),
        ({"exists": True}, True),
        ({"exists": False}, False),
        ({"prefix": "do"}, True),
        ({"prefix": "un"}, False),
        ({"suffix": "ne"}, True),
        ({"equals-ignore-case": "DONE"}, True),
        ({"wildcard": "d*e"}, True),
        ({"wildcard": "d?ne"}, False),
        ({"anything-but": "done"}, False),
        ({"anything-but": ["a", "b"]}, True),
        ({"anything-but": {"prefix": "do"}}, False),
        ({"anything-but": {"suffix": ["a", "ne"]}}, False),
        ({"anything-but": {"prefix": "un"}}, True),
        ({"numeric": [">", 1]}, False),
        ({"cidr": "10.0.0.0/8"}, False),
        ({}, False),
    ],
)
def test_one_condition_of_a_filter(condition: Any, passes: bool) -> None:
    assert (stopped_by({"state": [condition]}, {"state": "done"}) == []) is passes


def test_an_attribute_that_is_not_there_passes_only_where_it_must_not_be() -> None:
    assert stopped_by({"a": [{"exists": False}]}, {}) == []
    assert stopped_by({"a": [{"anything-but": "x"}], "b": ["y"]}, {}) == ["a", "b"]


def test_a_filter_on_the_body_goes_into_it() -> None:
    policy = {"detail": {"state": ["done"]}}
    assert stopped_by(policy, {"detail": {"state": "done"}}) == []
    assert stopped_by(policy, {"detail": "done"}) == ["detail"]
