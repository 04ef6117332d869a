"""Runs a stub of SQS and a real service process that reads it, for tests over HTTP."""

from __future__ import annotations

import contextlib
import json
import socket
import threading
import time
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import httpx

from sse_service.auth.tokens.signing import TokenSigner
from tests.conformance.parser import Message, parse
from tests.integration.process import DEADLINE, Process

SECRET = "a-secret-of-the-tests-long-enough-for-HS256"
AWS = {
    "AWS_DEFAULT_REGION": "us-east-1",
    "AWS_ACCESS_KEY_ID": "test",
    "AWS_SECRET_ACCESS_KEY": "test",
}


class Stream:
    """An open ``GET /events``, which a thread reads."""

    def __init__(self, response: httpx.Response) -> None:
        self.response = response
        self.raw = b""
        self._news = threading.Condition()
        self._ended = False
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    @property
    def messages(self) -> list[Message]:
        with self._news:
            return parse(self.raw).events

    @property
    def data(self) -> list[str]:
        """The data of all events that are not service events."""
        return [m.data for m in self.messages if not m.type.startswith("stream.")]

    @property
    def types(self) -> list[str]:
        return [m.type for m in self.messages]

    def wait_for(self, type_or_data: str, count: int = 1) -> Message:
        """Wait for ``count`` messages with that type or data, and return the last one."""
        until = time.monotonic() + DEADLINE
        with self._news:
            while True:
                found = [m for m in parse(self.raw).events if type_or_data in (m.type, m.data)]
                if len(found) >= count:
                    return found[count - 1]
                if self._ended or not self._news.wait(until - time.monotonic()):
                    raise AssertionError(f"{type_or_data!r} did not come: {self.raw!r}")

    def wait_for_end(self) -> None:
        self._reader.join(DEADLINE)
        assert not self._reader.is_alive()

    def close(self) -> None:
        """Disconnect without reading the rest, like a client whose network fails."""
        connection = self.response.extensions["network_stream"].get_extra_info("socket")
        with contextlib.suppress(OSError):
            connection.shutdown(socket.SHUT_RDWR)
        self._reader.join(DEADLINE)

    def _read(self) -> None:
        try:
            for data in self.response.iter_raw():
                with self._news:
                    self.raw += data
                    self._news.notify_all()
        except httpx.HTTPError:
            pass
        finally:
            with self._news:
                self._ended = True
                self._news.notify_all()


@dataclass(kw_only=True)
class Chain:
    """The chain from the queue to the streams: a stub of SQS, and a service that reads it."""

    queue: str
    """The stub's URL."""
    url: str
    admin: str
    process: Process
    client: httpx.Client = field(default_factory=lambda: httpx.Client(timeout=DEADLINE, trust_env=False))
    signer: TokenSigner = field(default_factory=lambda: TokenSigner(secret=SECRET))

    def put(self, *bodies: str, **attributes: str) -> None:
        """Put messages into the queue, all with the same attributes."""
        self.put_all([(body, attributes) for body in bodies])

    def put_all(self, messages: list[tuple[str, Mapping[str, str]]]) -> None:
        raw = [
            {
                "body": body,
                "attributes": {name: {"DataType": "String", "StringValue": value} for name, value in named.items()},
            }
            for body, named in messages
        ]
        self.client.post(f"{self.queue}/put", json=raw).raise_for_status()

    def headers(self, user: str = "42", **claims: Any) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.signer.sign(user, **claims)}"}

    @contextmanager
    def stream(
        self,
        user: str = "42",
        *,
        last: str | None = None,
        groups: list[str] | None = None,
        ttl_seconds: int = 3600,
        **query: str,
    ) -> Iterator[Stream]:
        """Open a stream and wait for ``stream.ready``."""
        headers = self.headers(user, groups=groups or [], ttl_seconds=ttl_seconds)
        if last is not None:
            headers["Last-Event-ID"] = last
        with self.stream_with(headers, **query) as stream:
            yield stream

    @contextmanager
    def stream_with(self, headers: Any, **query: str) -> Iterator[Stream]:
        """Open a stream with these headers, and wait for ``stream.ready``."""
        with self.client.stream("GET", f"{self.url}/events", params=query, headers=headers) as response:
            assert response.status_code == 200, response.read()
            stream = Stream(response)
            try:
                stream.wait_for("stream.ready")
                yield stream
            finally:
                stream.close()

    def get(self, path: str, **kwargs: Any) -> httpx.Response:
        return self.client.get(self.url + path, **kwargs)

    def metric(self, line: str) -> float:
        """Return a sample's value, or 0 if there is no such sample."""
        for sample in self.client.get(f"{self.admin}/metrics").text.splitlines():
            if sample.startswith(line + " "):
                return float(sample.rpartition(" ")[2])
        return 0.0

    def wait_for_metric(self, line: str, value: float) -> None:
        until = time.monotonic() + DEADLINE
        while (found := self.metric(line)) != value:
            assert time.monotonic() < until, f"{line} is {found}, not {value}"


def sns_envelope(message: str, *, user: str) -> str:
    """Return a message as SNS puts it into a queue, with the current time."""
    return json.dumps(
        {
            "Type": "Notification",
            "MessageId": str(uuid.uuid4()),
            "TopicArn": "arn:aws:sns:us-east-1:000000000000:events",
            "Message": message,
            "Timestamp": datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z"),
            "MessageAttributes": {"user_id": {"Type": "String", "Value": user}},
        }
    )


@contextmanager
def queue_stub() -> Iterator[str]:
    """Run the stub of SQS, and yield its URL."""
    with Process("tests.integration.sqs_stub", "--port", "0") as process:
        yield process.wait_for(r"(http://127\.0\.0\.1:\d+)")[1]


def environment(queue: str, **settings: str) -> dict[str, str]:
    """Return the environment of a service that reads the stub's queue."""
    return {
        **AWS,
        "AWS_ENDPOINT_URL": queue,
        "SSE_QUEUE_URL": f"{queue}/000000000000/events",
        "SSE_JWT_SECRET": SECRET,
        "SSE_SINGLE_TASK": "true",
        # Two parallel polls may swap messages that came one after the other.
        "SSE_SQS_POLLERS": "1",
        "SSE_DRAIN_SECONDS": "1",
        "SSE_ADMIN_PORT": "0",
        "SSE_LOG_LEVEL": "debug",
        "SSE_LOG_FORMAT": "text",
        **{f"SSE_{name.upper()}": value for name, value in settings.items()},
    }


@contextmanager
def service(queue: str, *, ready: bool = True, **settings: str) -> Iterator[Chain]:
    """Run ``sse-service serve`` with the stub as its queue, and wait until it is ready if ``ready`` is true."""
    with serve(queue, environment(queue, **settings)) as chain:
        if ready:
            wait_until_ready(chain)
        yield chain


@contextmanager
def serve(queue: str, env: dict[str, str], *, program: Sequence[str] = ("sse_service",)) -> Iterator[Chain]:
    """Run ``sse-service serve``, ready or not."""
    with Process(*program, "serve", "--port", "0", env=env) as process:
        url = process.wait_for(r"listening on (http://[^\s,]+)")[1]
        admin = process.wait_for(r"metrics on (http://\S+)/metrics")[1]
        chain = Chain(queue=queue, url=url, admin=admin, process=process)
        with chain.client:
            yield chain


def wait_until_ready(chain: Chain) -> None:
    until = time.monotonic() + DEADLINE
    while chain.get("/readyz").status_code != 200:
        assert time.monotonic() < until, chain.process.output
