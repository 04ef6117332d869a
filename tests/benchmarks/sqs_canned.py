"""An SQS that gives everybody the same answers, so that its own cost is small and even.

``python -m tests.benchmarks.sqs_canned CORE`` prints its URL and serves until it is ended.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
from typing import Any, cast

import uvloop

BATCH = 10


def notification(number: int) -> dict[str, Any]:
    """One message of a receive: an SNS envelope around a small JSON event for one user."""
    inner = {"user_id": f"user-{number}", "type": "order.shipped", "order": "b" * 36, "note": "c" * 180}
    envelope = {
        "Type": "Notification",
        "MessageId": f"{number:08d}-1f5c-4f5c-9a54-0123456789ab",
        "TopicArn": "arn:aws:sns:eu-west-1:123456789012:events",
        "Message": json.dumps(inner),
        "Timestamp": "2026-11-23T23:20:29.832Z",
        "SignatureVersion": "1",
        "Signature": "s" * 344,
        "SigningCertURL": "https://sns.eu-west-1.amazonaws.com/SimpleNotificationService-" + "d" * 32 + ".pem",
        "UnsubscribeURL": "https://sns.eu-west-1.amazonaws.com/?Action=Unsubscribe&SubscriptionArn=" + "e" * 90,
        "MessageAttributes": {"event_type": {"Type": "String", "Value": "order.shipped"}},
    }
    return {
        "MessageId": f"{number:08d}-aaaa-4bbb-8ccc-0123456789ab",
        "ReceiptHandle": f"{number:04d}" + "h" * 360,
        "MD5OfBody": "0" * 32,
        "Body": json.dumps(envelope),
        "Attributes": {"SentTimestamp": "1795595683528"},
    }


def reply(body: bytes) -> bytes:
    """A successful answer like that of SQS."""
    return (
        b"HTTP/1.1 200 OK\r\nx-amzn-RequestId: 00000000-0000-0000-0000-000000000000\r\n"
        b"Date: Mon, 23 Nov 2026 23:20:29 GMT\r\nContent-Type: application/x-amz-json-1.0\r\n"
        b"connection: keep-alive\r\nContent-Length: %d\r\n\r\n" % len(body)
    ) + body


RECEIVE = reply(json.dumps({"Messages": [notification(n) for n in range(BATCH)]}).encode())
DELETE = [
    reply(json.dumps({"Successful": [{"Id": str(n)} for n in range(count)], "Failed": []}).encode())
    for count in range(BATCH + 1)
]
ATTRIBUTES = reply(b'{"Attributes":{"VisibilityTimeout":"30","RedrivePolicy":"{\\"maxReceiveCount\\":5}"}}')


class Canned(asyncio.Protocol):
    """Answers each operation by its name."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)
        self.heard = b""

    def data_received(self, data: bytes) -> None:
        self.heard += data
        head, end, body = self.heard.partition(b"\r\n\r\n")
        if not end:
            return
        folded = head.lower()
        if len(body) < int(folded.partition(b"content-length:")[2].split(b"\r\n", 1)[0]):
            return
        self.heard = b""
        if b"amazonsqs.receivemessage" in folded:
            self.transport.write(RECEIVE)
        elif b"amazonsqs.deletemessagebatch" in folded:
            self.transport.write(DELETE[body.count(b'"Id"')])
        else:
            self.transport.write(ATTRIBUTES)


async def serve() -> None:
    """Run until the process is ended."""
    server = await asyncio.get_running_loop().create_server(Canned, "127.0.0.1", 0)
    print(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}", flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    os.sched_setaffinity(0, {int(sys.argv[1])})
    uvloop.run(serve())
