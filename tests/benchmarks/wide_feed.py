"""The feed, which can tell everyone too: ``/all`` puts its body into the queue as a broadcast.

``python -m tests.benchmarks.wide_feed PORT``; all else is as in ``sqs_feed``.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time

import uvloop

from tests.benchmarks.sqs_feed import TOPIC, Connection, Queue
from tests.benchmarks.wire import target


class WideQueue(Queue):
    """Takes events for everyone besides."""

    def everyone(self, data: str) -> None:
        """Put one into the queue."""
        self.counts["sent"] += 1
        number = f"{self.counts['sent']:012x}"
        handle = f"{number}{'h' * 180}"
        attributes = {"event_type": "load.event", "broadcast": "true"}
        body = {
            "Type": "Notification",
            "MessageId": f"00000000-0000-4000-8000-{number}",
            "TopicArn": TOPIC,
            "Message": data,
            "Timestamp": time.strftime("%Y-%m-%dT%H:%M:%S.000Z", time.gmtime()),
            "MessageAttributes": {name: {"Type": "String", "Value": value} for name, value in attributes.items()},
        }
        message = {
            "MessageId": f"00000000-0000-4000-9000-{number}",
            "ReceiptHandle": handle,
            "MD5OfBody": "0" * 32,
            "Body": json.dumps(body),
            "Attributes": {"SentTimestamp": str(int(time.time() * 1000))},
        }
        self._flying.add(handle)
        self._waiting.append(json.dumps(message).encode())
        self._serve()


class WideConnection(Connection):
    """Speaks for it."""

    def __init__(self, queue: WideQueue) -> None:
        super().__init__(queue)
        self._wide = queue

    def message(self, head: bytes, body: bytes) -> None:
        if target(head)[0] != "/all":
            super().message(head, body)
            return
        self._wide.everyone(body.decode())
        self.answer()


async def serve(port: int) -> None:
    """Run until the process is ended."""
    queue, loop = WideQueue(), asyncio.get_running_loop()
    server = await loop.create_server(lambda: WideConnection(queue), "127.0.0.1", port, backlog=128)
    await server.serve_forever()


if __name__ == "__main__":
    uvloop.run(serve(int(sys.argv[1])))
