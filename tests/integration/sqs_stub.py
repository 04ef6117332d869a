"""SQS over HTTP, as far as a consumer needs it, with faults on demand."""

import asyncio
import json
from collections import deque
from typing import Any

from aiohttp import web


class SQSStub:
    """One queue; ``faults`` are answers that take the place of the next ones of an action."""

    def __init__(self) -> None:
        self.waiting: deque[dict[str, Any]] = deque()
        self.deleted: list[str] = []
        self.extended: list[str] = []
        self.batches: list[int] = []
        self.faults: dict[str, deque[Any]] = {}
        self.attributes = {"VisibilityTimeout": "30", "RedrivePolicy": "{}"}
        self.changed = asyncio.Condition()

    def send(self, message_id: str, body: str = "x") -> None:
        """Put a message; its receipt handle is ``r-`` and the id."""
        self.waiting.append({"MessageId": message_id, "ReceiptHandle": f"r-{message_id}", "Body": body})

    async def until(self, predicate: Any) -> None:
        """Wait until something holds, at most ten seconds."""
        async with asyncio.timeout(10), self.changed:
            await self.changed.wait_for(predicate)

    async def __call__(self, request: web.Request) -> web.Response:
        action = request.headers["X-Amz-Target"].removeprefix("AmazonSQS.")
        asked = json.loads(await request.read())
        if faults := self.faults.get(action):
            status, body = faults.popleft()
        else:
            status, body = 200, await self.answer(action, asked)
        async with self.changed:
            self.changed.notify_all()
        return web.json_response(body, status=status, content_type="application/x-amz-json-1.0")

    async def answer(self, action: str, asked: dict[str, Any]) -> dict[str, Any]:
        if action == "GetQueueAttributes":
            return {"Attributes": self.attributes}
        if action == "ReceiveMessage":
            if not self.waiting and asked["WaitTimeSeconds"]:
                await asyncio.sleep(0.05)
            count = min(len(self.waiting), asked["MaxNumberOfMessages"])
            return {"Messages": [self.waiting.popleft() for _ in range(count)]}
        handles = [entry["ReceiptHandle"] for entry in asked["Entries"]]
        if action == "DeleteMessageBatch":
            self.deleted += handles
            self.batches.append(len(handles))
        else:
            self.extended += handles
        return {"Successful": [{"Id": entry["Id"]} for entry in asked["Entries"]], "Failed": []}
