"""Creates the resources of a deployment in an emulator: topic, queues with redrive policies, subscription, bucket."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sse_service.dev.emulator import Emulator

MAX_RECEIVES = 5


async def create_resources(emulator: Emulator) -> Emulator:
    """Create all resources, and return the emulator with their names."""
    async with emulator.client("sqs") as sqs, emulator.client("sns") as sns, emulator.client("s3") as s3:
        dead_url, dead_arn = await _queue(sqs, "demo-events-dead")
        queue_url, queue_arn = await _queue(sqs, "demo-events", dead_arn)
        _, dead_uploads_arn = await _queue(sqs, "demo-uploads-dead")
        uploads_url, uploads_arn = await _queue(sqs, "demo-uploads", dead_uploads_arn)
        topic_arn = (await sns.create_topic(Name="demo-events"))["TopicArn"]
        await sns.subscribe(TopicArn=topic_arn, Protocol="sqs", Endpoint=queue_arn)
        await s3.create_bucket(Bucket="demo-uploads")
        await s3.put_bucket_notification_configuration(
            Bucket="demo-uploads",
            NotificationConfiguration={
                "QueueConfigurations": [{"QueueArn": uploads_arn, "Events": ["s3:ObjectCreated:*"]}]
            },
        )
    return replace(
        emulator,
        topic_arn=topic_arn,
        queue_url=queue_url,
        dead_letter_queue_url=dead_url,
        bucket="demo-uploads",
        uploads_queue_url=uploads_url,
    )


async def _queue(sqs: Any, name: str, dead_letter_arn: str | None = None) -> tuple[str, str]:
    """Create a queue and return its URL and ARN."""
    redrive = {"deadLetterTargetArn": dead_letter_arn, "maxReceiveCount": MAX_RECEIVES}
    attributes = {"RedrivePolicy": json.dumps(redrive)} if dead_letter_arn else {}
    url = (await sqs.create_queue(QueueName=name, Attributes=attributes))["QueueUrl"]
    answer = await sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])
    return url, answer["Attributes"]["QueueArn"]
