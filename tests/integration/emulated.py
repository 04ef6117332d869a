"""Creates an emulator's resources with a short visibility timeout."""

from __future__ import annotations

from sse_service.dev import resources
from sse_service.dev.emulator import Emulator


async def create_resources(aws: Emulator, *, visibility_seconds: int) -> Emulator:
    """Create all resources in an emulator. The visibility timeout is short enough for a test to wait for its end."""
    aws = await resources.create_resources(aws)
    async with aws.client("sqs") as sqs:
        await sqs.set_queue_attributes(
            QueueUrl=aws.queue_url, Attributes={"VisibilityTimeout": str(visibility_seconds)}
        )
    return aws
