"""The consumer with a stub of SQS over HTTP, and with the same clients as in production."""

from __future__ import annotations

import asyncio
import json
import logging
from collections import deque
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from contextlib import asynccontextmanager
from typing import Any

import pytest
from aiobotocore.config import AioConfig
from aiobotocore.session import get_session
from aiohttp import web

from consumers.base import Outcome
from consumers.envelope import Envelope
from consumers.sqs.consumer import SQSConsumer
from tests.integration.process import DEADLINE
from tests.integration.sqs_stub import Answer, SQSStub
from tests.ports import free_port

URL = "http://127.0.0.1/000000000000/events"
SESSION = get_session()
"""Shared, because it reads the API's description from disk only once."""
THROTTLED = Answer(400, {"__type": "com.amazonaws.sqs#RequestThrottled", "message": "slow down"})
EXPIRED = Answer(403, {"__type": "com.amazon.coral.service#ExpiredTokenException", "message": "expired"})
DENIED = Answer(403, {"__type": "com.amazon.coral.service#AccessDeniedException", "message": "no"})


class Recorder:
    """A Handler that gives prepared answers, then DONE, and records its calls."""

    def __init__(self, *answers: Outcome) -> None:
        self.answers = deque(answers)
        self.seen: list[str] = []
        self.envelopes: list[Envelope] = []
        self._called = asyncio.Event()

    async def until(self, predicate: Callable[[], bool]) -> None:
        """Wait for calls until the predicate holds."""
        async with asyncio.timeout(DEADLINE):
            while not predicate():
                await self._called.wait()
                self._called.clear()

    async def __call__(self, envelopes: Sequence[Envelope], /) -> list[Outcome]:
        self.seen += [e.message_id for e in envelopes]
        self.envelopes += envelopes
        self._called.set()
        return [self.answers.popleft() if self.answers else Outcome.DONE for _ in envelopes]


class Counts:
    """An Observer that records its calls."""

    def __init__(self) -> None:
        self.messages = self.gone = 0
        self.failures: list[tuple[str, str]] = []
        self.reasons: list[str] = []
        self._failed = asyncio.Event()

    async def until(self, predicate: Callable[[], bool]) -> None:
        """Wait for failures and rejections until the predicate holds."""
        async with asyncio.timeout(DEADLINE):
            while not predicate():
                await self._failed.wait()
                self._failed.clear()

    def received(self, messages: int, /) -> None:
        self.messages += messages

    def deleted(self, messages: int, /) -> None:
        self.gone += messages

    def failed(self, operation: str, code: str, /) -> None:
        self.failures.append((operation, code))
        self._failed.set()

    def rejected(self, reason: str, /) -> None:
        self.reasons.append(reason)
        self._failed.set()


class Queue:
    """The stub on a port that can be closed and opened again, and consumers that read it."""

    def __init__(self, handler: Recorder | None = None) -> None:
        self.stub = SQSStub()
        self.handler = handler or Recorder()
        self.counts = Counts()
        self.connections = 0
        self.port = free_port()
        self._runner: web.ServerRunner | None = None

    async def up(self) -> None:
        self._runner = web.ServerRunner(web.Server(self.stub))
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", self.port, reuse_address=True).start()

    async def down(self) -> None:
        if self._runner is not None:
            await self._runner.cleanup()
            self._runner = None

    def connect(self) -> Any:
        self.connections += 1
        return SESSION.create_client(
            "sqs",
            region_name="us-east-1",
            endpoint_url=f"http://127.0.0.1:{self.port}",
            aws_access_key_id=f"key{self.connections}",
            aws_secret_access_key="x",
            config=AioConfig(retries={"mode": "standard", "total_max_attempts": 1}, proxies={}),
        )

    def consumer(self, **settings: Any) -> SQSConsumer:
        values = {"wait_seconds": 1, "retry_seconds": 0.01, "pollers": 1, "dedupe_seconds": 900, **settings}
        return SQSConsumer(connect=self.connect, queue_url=URL, handler=self.handler, observer=self.counts, **values)

    @asynccontextmanager
    async def consuming(self, *, down: bool = False, **settings: Any) -> AsyncIterator[SQSConsumer]:
        if not down:
            await self.up()
        consumer = self.consumer(**settings)
        task = asyncio.create_task(consumer.run())
        try:
            yield consumer
            consumer.stop()
            await self.stub.end_polls()
            async with asyncio.timeout(DEADLINE):
                await task
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
            await self.down()


def run(test: Callable[[], Coroutine[Any, Any, None]]) -> None:
    asyncio.run(test())


def test_done_messages_are_deleted_in_batches_across_receives() -> None:
    async def test() -> None:
        queue = Queue()
        for n in range(25):
            queue.stub.send(str(n))
        async with queue.consuming(flush_seconds=1) as consumer:
            await queue.stub.until(lambda: len(queue.stub.deleted) == 25)
            assert consumer.trouble is None
        assert queue.handler.seen == [str(n) for n in range(25)]
        assert queue.stub.batches == [10, 10, 5]
        assert (queue.counts.messages, queue.counts.gone) == (25, 25)

    run(test)


def test_a_message_that_is_not_understood_stays_and_its_neighbours_are_deleted() -> None:
    async def test() -> None:
        queue = Queue(Recorder(Outcome.DONE, Outcome.NOT_UNDERSTOOD))
        queue.stub.send("a")
        queue.stub.send("broken", '{"Type": "Notification", "TopicArn": "t"}')
        queue.stub.send("b")
        queue.stub.send("c")
        async with queue.consuming():
            await queue.stub.until(lambda: len(queue.stub.deleted) == 2)
        assert queue.handler.seen == ["a", "b", "c"]
        assert sorted(queue.stub.deleted) == ["r-a", "r-c"]
        assert queue.counts.reasons == ["envelope"]

    run(test)


def test_a_wrapped_body_that_is_nested_too_deep_is_not_understood() -> None:
    async def test() -> None:
        queue = Queue()
        deep = "[" * 300 + "]" * 300
        queue.stub.send("deep", '{"detail-type":"t","source":"s","id":"1","detail":' + deep + "}")
        queue.stub.send("good")
        async with queue.consuming():
            await queue.stub.until(lambda: queue.stub.deleted == ["r-good"])
        assert queue.counts.reasons == ["data"]

    run(test)


def test_messages_answered_not_now_are_held_extended_and_retried() -> None:
    async def test() -> None:
        queue = Queue(Recorder(*[Outcome.NOT_NOW] * 10_000))
        queue.stub.attributes["VisibilityTimeout"] = "1"
        for name in "ab":
            queue.stub.send(name)
        async with queue.consuming():
            await queue.stub.until(lambda: "r-a" in queue.stub.extended)
            assert queue.stub.deleted == []
            queue.handler.answers.clear()
            await queue.stub.until(lambda: queue.stub.deleted == ["r-a", "r-b"])
        assert queue.handler.seen[-2:] == ["a", "b"]

    run(test)


def test_a_message_that_was_held_for_as_long_as_sqs_allows_is_rejected() -> None:
    async def test() -> None:
        queue, now = Queue(Recorder(*[Outcome.NOT_NOW] * 10_000)), [0.0]
        queue.stub.send("a")
        async with queue.consuming(clock=lambda: now[0]):
            await queue.handler.until(lambda: len(queue.handler.seen) > 2)
            now[0] = 12 * 3600 - 30
            calls = len(queue.handler.seen)
            await queue.handler.until(lambda: len(queue.handler.seen) > calls)
            now[0] += 1
            await queue.counts.until(lambda: queue.counts.reasons == ["held_too_long"])
            queue.handler.answers.clear()
            queue.stub.send("b")
            await queue.stub.notify()
            await queue.stub.until(lambda: queue.stub.deleted == ["r-b"])
        assert queue.handler.seen[-1] == "b"

    run(test)


def test_a_message_without_a_wrapper_has_the_time_when_it_was_sent() -> None:
    async def test() -> None:
        queue = Queue()
        queue.stub.send("a", Attributes={"SentTimestamp": "1795595683528"})
        async with queue.consuming():
            await queue.stub.until(lambda: queue.stub.deleted == ["r-a"])
        assert queue.handler.envelopes[0].time == "2026-11-25T08:34:43.528Z"

    run(test)


@pytest.mark.parametrize("fast_path", [True, False])
@pytest.mark.parametrize(("wanted", "trace"), [(True, "Root=1-1-1"), (False, None)])
def test_a_message_has_awss_trace_header_if_it_is_wanted(wanted: bool, trace: str | None, fast_path: bool) -> None:
    async def test() -> None:
        queue = Queue()
        queue.stub.send("a", Attributes={"SentTimestamp": "1795595683528", "AWSTraceHeader": "Root=1-1-1"})
        async with queue.consuming(trace_header=wanted, fast_path=fast_path):
            await queue.stub.until(lambda: queue.stub.deleted == ["r-a"])
        assert queue.handler.envelopes[0].trace == trace
        assert queue.handler.envelopes[0].time == "2026-11-25T08:34:43.528Z"

    run(test)


def test_a_queue_without_redrive_policy_or_with_long_redelivery_is_warned_about(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def test(redrive: dict[str, int] | None) -> None:
        queue = Queue()
        queue.stub.attributes = {"VisibilityTimeout": "300"}
        if redrive is not None:
            queue.stub.attributes["RedrivePolicy"] = json.dumps(redrive)
        async with queue.consuming(dedupe_seconds=900):
            await queue.stub.until(lambda: len(queue.stub.keys) > 1)

    asyncio.run(test({"maxReceiveCount": 5}))
    assert "may redeliver a message for 1500 s" in caplog.text
    caplog.clear()
    asyncio.run(test(None))
    assert "no redrive policy" in caplog.text


def test_an_exception_of_the_handler_ends_the_consumer() -> None:
    class Broken(Recorder):
        async def __call__(self, envelopes: Sequence[Envelope], /) -> list[Outcome]:
            raise RuntimeError("a bug")

    async def test() -> None:
        queue = Queue(Broken())
        queue.stub.send("a")
        await queue.up()
        try:
            with pytest.raises(RuntimeError, match="a bug"):
                await queue.consumer().run()
        finally:
            await queue.down()

    run(test)


def test_bodies_and_receipt_handles_are_never_logged(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG, "consumers")

    async def test() -> None:
        queue = Queue()
        queue.stub.faults["ReceiveMessage"] = deque([THROTTLED])
        queue.stub.faults["DeleteMessageBatch"] = deque([THROTTLED])
        queue.stub.send("id-of-the-message", '{"Type": "Notification", "TopicArn": "canary"}')
        queue.stub.send("good", "canary")
        async with queue.consuming():
            await queue.stub.until(lambda: len(queue.stub.deleted) == 1)

    run(test)
    ours = [r.getMessage() for r in caplog.records if r.name.startswith("consumers")]
    assert any("id-of-the-message" in line for line in ours)
    assert not any("canary" in line or "r-" in line for line in ours)


def test_a_fifo_queue_is_refused() -> None:
    with pytest.raises(ValueError, match="FIFO"):
        SQSConsumer(
            connect=lambda: pytest.fail("connected"),
            queue_url="https://q/1/a.fifo",
            handler=Recorder(),
            observer=Counts(),
            dedupe_seconds=900,
        )
