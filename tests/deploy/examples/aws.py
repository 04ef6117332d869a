"""What the examples of producers do to the emulated AWS."""

from __future__ import annotations

import asyncio
from typing import Any

from consumers.envelope import unwrap
from sse_service.dev.emulator import Emulator
from sse_service.model.events import Route
from sse_service.routing.router import Router
from tests.integration.process import DEADLINE


def arriving(aws: Emulator, count: int) -> list[Route]:
    """Receive the next messages of the queue, and return their Routes."""
    router = Router(s3_key_pattern="users/{user}/*")
    routes: list[Route] = []

    async def receive() -> None:
        async with aws.client("sqs") as sqs, asyncio.timeout(DEADLINE):
            while len(routes) < count:
                answer = await sqs.receive_message(QueueUrl=aws.queue_url, WaitTimeSeconds=1, MaxNumberOfMessages=10)
                for message in answer.get("Messages", []):
                    routing = router.route(unwrap(message_id=message["MessageId"], body=message["Body"]))
                    assert routing.unrouted == 0, message
                    routes.extend(routing.routes)
                    await sqs.delete_message(QueueUrl=aws.queue_url, ReceiptHandle=message["ReceiptHandle"])

    asyncio.run(receive())
    return routes


def call(aws: Emulator, service: str, operation: str, **parameters: Any) -> Any:
    async def send() -> Any:
        async with aws.client(service) as client:
            return await getattr(client, operation)(**parameters)

    return asyncio.run(send())
