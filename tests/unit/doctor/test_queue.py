"""The check of the queue: its region, its kind and its maximum message size."""

from __future__ import annotations

from typing import Any

import pytest

from sse_service.doctor.aws_calls import Fault
from sse_service.doctor.queue import check_queue, region_of
from sse_service.doctor.report import Level

URL = "https://sqs.eu-west-1.amazonaws.com/123456789012/events"
ARN = "arn:aws:sqs:eu-west-1:123456789012:events"


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


def test_a_standard_queue_is_named_with_its_backlog() -> None:
    [found] = check_queue(URL, "eu-west-1", {"Attributes": {"QueueArn": ARN, "ApproximateNumberOfMessages": "3"}})
    assert (found.level, found.text) == (Level.OK, f"{ARN}, standard, 3 messages waiting")


@pytest.mark.parametrize(
    ("answer", "word"),
    [
        (Fault("AWS.SimpleQueueService.NonExistentQueue"), "there is no queue"),
        (Fault("AccessDenied"), "sqs:GetQueueAttributes"),
        (Fault("ConnectTimeoutError", unreachable=True), "VPC endpoint"),
        (Fault("ExpiredToken"), "credentials"),
        (Fault("InvalidAddress"), "InvalidAddress"),
        ({"Attributes": {"QueueArn": ARN, "FifoQueue": "true"}}, "FIFO"),
    ],
)
def test_a_queue_that_cannot_be_used_fails(answer: Any, word: str) -> None:
    [found] = check_queue(URL, "eu-west-1", answer)
    assert found.level is Level.FAIL
    assert word in found.line


def test_a_queue_in_another_region_fails() -> None:
    [found] = check_queue(URL, "us-east-1", Fault("AWS.SimpleQueueService.NonExistentQueue"))
    assert "SSE_QUEUE_URL is in eu-west-1, the task in us-east-1" in found.text


def test_a_queue_that_accepts_less_than_sns_is_a_warning() -> None:
    found = check_queue(URL, "eu-west-1", {"Attributes": {"QueueArn": ARN, "MaximumMessageSize": "65536"}})
    assert [each.level for each in found] == [Level.OK, Level.WARN]
