"""A stub of SQS over HTTP: it implements the calls that a consumer makes, with faults on demand.

``python -m tests.integration.sqs_stub --port 0`` runs it as a process. It prints its URL, and ``POST /put`` takes one
message ``{"body": …, "attributes": …}`` or a list of them.
"""

from __future__ import annotations

import argparse
import asyncio
import json
from collections import Counter, deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from aiohttp import web

from tests.integration.process import DEADLINE


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer that replaces the next one of an action."""

    status: int = 200
    body: Any = None
    """A value to send as JSON, or bytes to send unchanged."""
    content_type: str = "application/x-amz-json-1.0"


ABSENT = Answer(400, {"__type": "com.amazonaws.sqs#QueueDoesNotExist", "message": "The queue does not exist."})
"""The answer to every call for a queue named ``absent``."""


class LostReply:
    """The action is performed, but its answer is lost."""


class SQSStub:
    """One queue. ``faults`` replace the next answers of an action."""

    def __init__(self) -> None:
        self.waiting: deque[dict[str, Any]] = deque()
        self.deleted: list[str] = []
        self.extended: list[str] = []
        self.batches: list[int] = []
        self.keys: list[str] = []
        """The access key of each call."""
        self.faults: dict[str, deque[Answer | LostReply]] = {}
        self.attributes = {"VisibilityTimeout": "30", "RedrivePolicy": '{"maxReceiveCount":5}'}
        self.changed = asyncio.Condition()
        self.in_flight: dict[str, tuple[dict[str, Any], float]] = {}
        """Messages by receipt handle, with the time on the loop's clock at which they become visible again."""
        self.polls_end_at_once = False
        """Whether empty receives are answered at once, so that a stop does not wait for a long poll."""
        self.unreachable = False
        """Whether every connection is reset, as if the endpoint were down."""
        self.dead_letters: list[str] = []
        """Ids of messages that went to the dead-letter queue."""
        self.polls = 0
        """How many receives are waiting for messages."""
        self._receives: Counter[str] = Counter()
        self._sent = 0

    def send(self, message_id: str, body: str = "x", **fields: Any) -> None:
        """Put a message into the queue. Its receipt handle is ``r-`` and the id, with a ``+`` for each redelivery."""
        self.waiting.append({"MessageId": message_id, "ReceiptHandle": f"r-{message_id}", "Body": body, **fields})

    async def until(self, predicate: Callable[[], bool]) -> None:
        """Wait until the predicate holds."""
        async with asyncio.timeout(DEADLINE), self.changed:
            await self.changed.wait_for(predicate)

    async def put(self, request: web.Request) -> web.Response:
        """Answer ``POST /put``."""
        given = json.loads(await request.read())
        for message in given if isinstance(given, list) else [given]:
            self._sent += 1
            self.send(
                str(self._sent),
                message["body"],
                MessageAttributes=message.get("attributes", {}),
                Attributes=message.get("system", {}),
            )
        await self.notify()
        return web.Response(status=204)

    async def __call__(self, request: web.BaseRequest) -> web.StreamResponse:
        if self.unreachable:
            assert request.transport is not None
            request.transport.abort()
            return web.Response()
        action = request.headers["X-Amz-Target"].removeprefix("AmazonSQS.")
        self.keys.append(request.headers["Authorization"].partition("Credential=")[2].partition("/")[0])
        asked = json.loads(await request.read())
        faults = self.faults.get(action)
        fault = ABSENT if asked["QueueUrl"].endswith("/absent") else faults.popleft() if faults else None
        if not isinstance(fault, Answer):
            body = await self._answer(action, asked)
            await self.notify()
            if isinstance(fault, LostReply):
                assert request.transport is not None
                request.transport.abort()
            return web.json_response(body, content_type="application/x-amz-json-1.0")
        await self.notify()
        raw = fault.body if isinstance(fault.body, bytes) else json.dumps(fault.body).encode()
        return web.Response(body=raw, status=fault.status, content_type=fault.content_type)

    async def notify(self) -> None:
        """Wake waiting receives. Call it after ``send``."""
        async with self.changed:
            self.changed.notify_all()

    async def _answer(self, action: str, asked: Mapping[str, Any]) -> dict[str, Any]:
        if action == "GetQueueAttributes":
            return {"Attributes": self.attributes}
        if action == "ReceiveMessage":
            return await self._receive(asked)
        handles = [entry["ReceiptHandle"] for entry in asked["Entries"]]
        if action == "DeleteMessageBatch":
            for handle in handles:
                self.in_flight.pop(handle, None)
            self.deleted += handles
            self.batches.append(len(handles))
        else:
            for entry in asked["Entries"]:
                if found := self.in_flight.get(entry["ReceiptHandle"]):
                    self._hide(found[0], entry["ReceiptHandle"], entry["VisibilityTimeout"])
            self.extended += handles
        return {"Successful": [{"Id": entry["Id"]} for entry in asked["Entries"]], "Failed": []}

    async def _receive(self, asked: Mapping[str, Any]) -> dict[str, Any]:
        self.polls += 1
        await self.notify()
        try:
            async with asyncio.timeout(asked["WaitTimeSeconds"]), self.changed:
                await self.changed.wait_for(lambda: bool(self.waiting) or self.polls_end_at_once)
        except TimeoutError:
            pass
        finally:
            self.polls -= 1
        taken = []
        while self.waiting and len(taken) < asked["MaxNumberOfMessages"]:
            message = self.waiting.popleft()
            self._receives[message["MessageId"]] += 1
            if self._receives[message["MessageId"]] > json.loads(self.attributes["RedrivePolicy"])["maxReceiveCount"]:
                self.dead_letters.append(message["MessageId"])
            else:
                taken.append(message)
        # SQS leaves out an empty list.
        if not taken:
            return {}
        for message in taken:
            self._hide(message, message["ReceiptHandle"], float(self.attributes["VisibilityTimeout"]))
        # SQS hands over only the system attributes that it was asked for.
        wanted = asked.get("MessageSystemAttributeNames", [])
        return {
            "Messages": [
                {**message, "Attributes": {name: value for name, value in found.items() if name in wanted}}
                if (found := message.get("Attributes"))
                else message
                for message in taken
            ]
        }

    def _hide(self, message: dict[str, Any], handle: str, seconds: float) -> None:
        loop = asyncio.get_running_loop()
        self.in_flight[handle] = (message, loop.time() + seconds)
        loop.call_later(seconds, self._expire, handle)

    def _expire(self, handle: str) -> None:
        found = self.in_flight.get(handle)
        if found is None or found[1] > asyncio.get_running_loop().time() + 0.01:
            return
        self._redeliver(handle)
        self._notifying = asyncio.ensure_future(self.notify())

    def _redeliver(self, handle: str) -> None:
        message, _ = self.in_flight.pop(handle)
        self.waiting.append({**message, "ReceiptHandle": f"{handle}+"})

    async def redeliver(self) -> None:
        """End every visibility timeout now, the last one first, so that messages are repeated in another order."""
        for handle in reversed(list(self.in_flight)):
            self._redeliver(handle)
        await self.notify()

    async def end_polls(self) -> None:
        """Answer waiting and later receives at once."""
        self.polls_end_at_once = True
        await self.notify()


async def serve(port: int) -> None:
    """Serve until the process ends."""
    stub = SQSStub()
    app = web.Application(client_max_size=2**30)
    app.router.add_post("/put", stub.put)
    app.router.add_post("/{path:.*}", stub)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", port).start()
    print(f"http://127.0.0.1:{runner.addresses[0][1]}", flush=True)
    await asyncio.Event().wait()


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--port", type=int, default=0)
    asyncio.run(serve(parser.parse_args().port))
