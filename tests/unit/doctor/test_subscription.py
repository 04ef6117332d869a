"""The check of the queue's subscription to the topic, and of its filter policy."""

from __future__ import annotations

import json
from typing import Any

import pytest

from sse_service.doctor.aws_calls import Fault
from sse_service.doctor.canary import new_canary
from sse_service.doctor.filter_policy import keys_that_drop
from sse_service.doctor.report import Level
from sse_service.doctor.subscription import check_subscription, drops, find_subscription, not_checked

TOPIC = "arn:aws:sns:eu-west-1:123456789012:events"
QUEUE = "arn:aws:sqs:eu-west-1:123456789012:events"
SUBSCRIPTION = f"{TOPIC}:1"
CANARY = new_canary()


def test_a_confirmed_subscription_is_preferred() -> None:
    waiting = {"Protocol": "sqs", "Endpoint": QUEUE, "SubscriptionArn": "PendingConfirmation"}
    others = [
        {"Protocol": "sqs", "Endpoint": QUEUE + "2", "SubscriptionArn": f"{TOPIC}:2"},
        {"Protocol": "https", "Endpoint": QUEUE, "SubscriptionArn": f"{TOPIC}:3"},
    ]
    assert find_subscription(others, QUEUE) is None
    assert find_subscription([*others, waiting], QUEUE) == "PendingConfirmation"
    assert find_subscription([waiting, {**waiting, "SubscriptionArn": SUBSCRIPTION}], QUEUE) == SUBSCRIPTION


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
def test_each_state_of_the_subscription_has_its_own_line(arn: str | None, answer: Any, level: Level, word: str) -> None:
    [found] = check_subscription(arn, answer, CANARY.attributes, CANARY.body)
    assert found.level is level
    assert word in found.line
    assert not drops(answer, CANARY.attributes, CANARY.body)


def test_subscriptions_that_may_not_be_listed_are_a_warning() -> None:
    assert not_checked(Fault("AuthorizationError")).level is Level.WARN


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
def test_a_filter_policy_fails_if_it_drops_events_for_one_user(
    policy: dict[str, Any], scope: str, level: Level
) -> None:
    answer = {"Attributes": {"FilterPolicy": json.dumps(policy), "FilterPolicyScope": scope}}
    [found] = check_subscription(SUBSCRIPTION, answer, CANARY.attributes, CANARY.body)
    assert found.level is level
    assert len(found.line) < 700
    assert drops(answer, CANARY.attributes, CANARY.body) is (level is not Level.OK)


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
def test_each_kind_of_condition_in_a_filter_policy_is_evaluated(condition: Any, passes: bool) -> None:
    assert (keys_that_drop({"state": [condition]}, {"state": "done"}) == []) is passes


def test_a_missing_attribute_passes_only_if_it_must_be_missing() -> None:
    assert keys_that_drop({"a": [{"exists": False}]}, {}) == []
    assert keys_that_drop({"a": [{"anything-but": "x"}], "b": ["y"]}, {}) == ["a", "b"]


def test_a_filter_policy_on_the_body_may_be_nested() -> None:
    policy = {"detail": {"state": ["done"]}}
    assert keys_that_drop(policy, {"detail": {"state": "done"}}) == []
    assert keys_that_drop(policy, {"detail": "done"}) == ["detail"]
