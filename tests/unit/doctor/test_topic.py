"""The check of the topic."""

from __future__ import annotations

from typing import Any

import pytest

from sse_service.doctor.aws_calls import Fault
from sse_service.doctor.report import Level
from sse_service.doctor.topic import check_topic, check_topic_arn

TOPIC = "arn:aws:sns:eu-west-1:123456789012:events"


def test_a_missing_topic_fails_and_one_in_another_region_is_a_warning() -> None:
    unset = check_topic_arn("", "eu-west-1")
    elsewhere = check_topic_arn(TOPIC, "us-east-1")
    assert unset is not None
    assert elsewhere is not None
    assert (unset.level, elsewhere.level) == (Level.FAIL, Level.WARN)
    assert check_topic_arn(TOPIC, "eu-west-1") is None


@pytest.mark.parametrize(
    ("answer", "level"),
    [
        ({"Attributes": {}}, Level.OK),
        ({"Attributes": {"FifoTopic": "true"}}, Level.WARN),
        (Fault("NotFound"), Level.FAIL),
        (Fault("AuthorizationError"), Level.WARN),
        (Fault("ConnectTimeoutError", unreachable=True), Level.FAIL),
        (Fault("InvalidParameter"), Level.FAIL),
        (Fault("ValueError", fix="look here"), Level.FAIL),
    ],
)
def test_each_answer_of_sns_has_its_own_level(answer: Any, level: Level) -> None:
    assert check_topic(TOPIC, answer).level is level
