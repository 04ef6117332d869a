"""A deployment for `doctor` to look at, and what `doctor` says of it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import boto3

from tests.integration.chain import AWS, SECRET

OTHER = "another-secret-of-the-tests-long-enough-for-HS256"


@dataclass(frozen=True)
class Deployment:
    """A topic, a queue that is subscribed to it, and a service that reads it."""

    aws: str
    url: str
    topic: str
    queue: str
    queue_arn: str
    subscription: str

    def client(self, service: str) -> Any:
        return boto3.client(
            service,
            endpoint_url=self.aws,
            region_name="us-east-1",
            aws_access_key_id="test",
            aws_secret_access_key="test",
        )

    @property
    def environment(self) -> dict[str, str]:
        return {
            **AWS,
            "AWS_ENDPOINT_URL": self.aws,
            "SSE_QUEUE_URL": self.queue,
            "SSE_TOPIC_ARN": self.topic,
            "SSE_JWT_SECRET": SECRET,
            "SSE_SINGLE_TASK": "true",
        }

    @contextmanager
    def queue_with(self, **attributes: str) -> Iterator[None]:
        """Change the queue's attributes until the block ends."""
        sqs = self.client("sqs")
        before = sqs.get_queue_attributes(QueueUrl=self.queue, AttributeNames=["All"])["Attributes"]
        # moto drops the policy if it is not among the attributes that are set.
        attributes = {"Policy": before["Policy"], **attributes}
        sqs.set_queue_attributes(QueueUrl=self.queue, Attributes=attributes)
        try:
            yield
        finally:
            back = {name: before.get(name, "") for name in attributes}
            sqs.set_queue_attributes(QueueUrl=self.queue, Attributes=back)

    @contextmanager
    def subscription_with(self, name: str, value: str, sound: str) -> Iterator[None]:
        sns = self.client("sns")
        sns.set_subscription_attributes(SubscriptionArn=self.subscription, AttributeName=name, AttributeValue=value)
        try:
            yield
        finally:
            sns.set_subscription_attributes(SubscriptionArn=self.subscription, AttributeName=name, AttributeValue=sound)


def policy(topic: str, queue_arn: str) -> str:
    statement = {
        "Effect": "Allow",
        "Principal": {"Service": "sns.amazonaws.com"},
        "Action": "sqs:SendMessage",
        "Resource": queue_arn,
        "Condition": {"ArnEquals": {"aws:SourceArn": topic}},
    }
    return json.dumps({"Version": "2012-10-17", "Statement": [statement]})


@dataclass(frozen=True)
class Output:
    """The exit status and the output of the command."""

    status: int
    text: str

    def at(self, level: str) -> dict[str, str]:
        lines = [line.split(maxsplit=2) for line in self.text.splitlines()]
        return {check: text for found, check, text in lines if found == level}


def fails_alone(said: Output, check: str, *words: str, skipped: tuple[str, ...] = ()) -> None:
    """Check that only this check fails, with these words. All others are ok or, if they depend on it, skipped."""
    assert said.status == 1, said.text
    assert set(said.at("FAIL")) == {check}, said.text
    assert set(said.at("skip")) == set(skipped), said.text
    for word in words:
        assert word in said.at("FAIL")[check]
