"""An emulator with a short visibility timeout."""

from __future__ import annotations

from sse_service.dev import resources
from sse_service.dev.emulator import Emulator


async def make(aws: Emulator, *, visibility_seconds: int) -> Emulator:
    """Create all resources, with a visibility timeout that a test can wait for."""
    aws = await resources.create_resources(aws)
    async with aws.client("sqs") as sqs:
        await sqs.set_queue_attributes(
            QueueUrl=aws.queue_url, Attributes={"VisibilityTimeout": str(visibility_seconds)}
        )
    return aws
