"""A fast SQS that answers long polls with canned SNS notifications and counts deletes.

``python -m tests.benchmarks.sqs_feed PORT``. Commands, by POST: ``/burst?first=&users=&count=`` makes events round
robin as fast as they are asked for, ``/pace?first=&users=&count=&per_second=`` at a rate, ``/all`` puts its body into
the queue for everyone, ``/stats`` returns the counters. Every other path is SQS's JSON protocol. Nothing is delivered
twice: messages that are not deleted are counted in ``left``.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from collections import Counter, deque
from typing import Any

import orjson
import uvloop

from tests.benchmarks.http_messages import Messages, target
from tests.benchmarks.payloads import Numbers, pace, payload

TOPIC = "arn:aws:sns:us-east-1:000000000000:events"
ATTRIBUTES = {
    "VisibilityTimeout": "30",
    "RedrivePolicy": json.dumps(
        {"deadLetterTargetArn": "arn:aws:sqs:us-east-1:000000000000:dead", "maxReceiveCount": 5}
    ),
}


def _template(data: str, **attributes: str) -> bytes:
    """A message as long as a real one, with ``%`` placeholders for the names after an ``@``. Its MD5 is not valid."""
    url = "https://sns.us-east-1.amazonaws.com"
    body = {
        "Type": "Notification",
        "MessageId": "00000000-0000-4000-8000-@ID",
        "TopicArn": TOPIC,
        "Message": data,
        "Timestamp": time.strftime("%Y-%m-%dT%H:%M:%S.000Z", time.gmtime()),
        "SignatureVersion": "1",
        "Signature": "A" * 342 + "==",
        "SigningCertURL": f"{url}/SimpleNotificationService-{'0' * 32}.pem",
        "UnsubscribeURL": f"{url}/?Action=Unsubscribe&SubscriptionArn={TOPIC}:00000000-0000-4000-8000-000000000000",
        "MessageAttributes": {
            name: {"Type": "String", "Value": value}
            for name, value in {"event_type": "load.event", **attributes}.items()
        },
    }
    message = {
        "MessageId": "00000000-0000-4000-9000-@ID",
        "ReceiptHandle": "@ID" + "h" * 180,
        "MD5OfBody": "0" * 32,
        "Body": json.dumps(body),
        "Attributes": {"SentTimestamp": str(int(time.time() * 1000))},
    }
    text = json.dumps(message).encode().replace(b"%", b"%%")
    for name, place in ((b"@ID", b"%(id)012x"), (b"@T", b"%(t)d"), (b"@N", b"%(n)d"), (b"@U", b"%(u)d")):
        text = text.replace(name, place)
    return text


class Queue:
    """Messages that wait, or are made as they are received."""

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()
        data = payload(0, 0, 0).replace('"t":0,"n":0,"u":0', '"t":@T,"n":@N,"u":@U')
        self._template = _template(data, user_id="@U")
        self._numbers = Numbers()
        self._waiting: deque[bytes] = deque()
        # The rest of a burst: first user, users, events, events made.
        self._burst = (0, 1, 0, 0)
        self._flying: set[str] = set()
        self._polls: dict[Connection, tuple[int, asyncio.TimerHandle]] = {}
        self._pacing: asyncio.Task[None] | None = None

    def stats(self) -> dict[str, Any]:
        """The counters, and the number of messages that were not deleted."""
        _, _, count, made = self._burst
        left = len(self._waiting) + len(self._flying) + count - made
        return {**self.counts, "left": left, "cpu_seconds": time.process_time()}

    def burst(self, first: int, users: int, count: int) -> None:
        """Start a burst."""
        self._burst = (first, users, count, 0)
        self._serve()

    def pace(self, first: int, users: int, count: int, per_second: int) -> None:
        """Start to send at a rate. The age of an event counts from its message, not from when it was due."""

        def put(number: int, due: int) -> None:
            self._waiting.append(self._message(first + number % users))
            self._serve()

        self._pacing = asyncio.ensure_future(pace(count, per_second, put))

    def everyone(self, data: str) -> None:
        """Put one into the queue for everyone."""
        self._waiting.append(self._sent(_template(data, broadcast="true"), {}))
        self._serve()

    def receive(self, connection: Connection, asked: dict[str, Any]) -> None:
        """Answer a receive, now or when there is a message."""
        most, wait = asked.get("MaxNumberOfMessages", 1), asked.get("WaitTimeSeconds", 0)
        self.counts["receives"] += 1
        if self._ready() or not wait:
            self._hand_out(connection, most)
        else:
            timer = asyncio.get_running_loop().call_later(wait, self._end_poll, connection)
            self._polls[connection] = (most, timer)

    def delete(self, handles: list[str]) -> None:
        """Count the deletes of received messages."""
        before = len(self._flying)
        self._flying.difference_update(handles)
        self.counts["deleted"] += before - len(self._flying)

    def forget(self, connection: Connection) -> None:
        """Forget a connection that has closed."""
        if poll := self._polls.pop(connection, None):
            poll[1].cancel()

    def _ready(self) -> bool:
        return bool(self._waiting) or self._burst[3] < self._burst[2]

    def _serve(self) -> None:
        while self._polls and self._ready():
            connection = next(iter(self._polls))
            most, timer = self._polls.pop(connection)
            timer.cancel()
            self._hand_out(connection, most)

    def _end_poll(self, connection: Connection) -> None:
        self._polls.pop(connection)
        connection.answer()

    def _hand_out(self, connection: Connection, most: int) -> None:
        given: list[bytes] = []
        while self._waiting and len(given) < most:
            given.append(self._waiting.popleft())
        first, users, count, made = self._burst
        while made < count and len(given) < most:
            given.append(self._message(first + made % users))
            made += 1
        self._burst = (first, users, count, made)
        connection.answer(b'{"Messages":[%b]}' % b",".join(given) if given else b"{}")

    def _message(self, user: int) -> bytes:
        fields = {b"t": time.monotonic_ns(), b"n": self._numbers.take(user), b"u": user}
        return self._sent(self._template, fields)

    def _sent(self, template: bytes, fields: dict[bytes, int]) -> bytes:
        self.counts["sent"] += 1
        number = fields[b"id"] = self.counts["sent"]
        self._flying.add(f"{number:012x}{'h' * 180}")
        return template % fields


class Connection(Messages):
    """A client's connection to the queue."""

    def __init__(self, queue: Queue) -> None:
        super().__init__()
        self._queue = queue

    def connection_lost(self, exc: Exception | None) -> None:
        self._queue.forget(self)

    def message(self, head: bytes, body: bytes) -> None:
        path, query = target(head)
        if path == "/burst":
            self._queue.burst(**query)
        elif path == "/pace":
            self._queue.pace(**query)
        elif path == "/all":
            self._queue.everyone(body.decode())
        elif path == "/stats":
            self.answer(orjson.dumps(self._queue.stats()))
            return
        else:
            self._call(head, orjson.loads(body))
            return
        self.answer()

    def _call(self, head: bytes, asked: dict[str, Any]) -> None:
        if b"AmazonSQS.ReceiveMessage" in head:
            self._queue.receive(self, asked)
        elif b"AmazonSQS.GetQueueAttributes" in head:
            self.answer(orjson.dumps({"Attributes": ATTRIBUTES}))
        else:
            entries = asked["Entries"]
            if b"AmazonSQS.DeleteMessageBatch" in head:
                self._queue.delete([entry["ReceiptHandle"] for entry in entries])
            self.answer(orjson.dumps({"Successful": [{"Id": entry["Id"]} for entry in entries], "Failed": []}))


async def serve(port: int) -> None:
    """Run until the process is ended."""
    queue = Queue()
    server = await asyncio.get_running_loop().create_server(lambda: Connection(queue), "127.0.0.1", port, backlog=128)
    await server.serve_forever()


if __name__ == "__main__":
    uvloop.run(serve(int(sys.argv[1])))
