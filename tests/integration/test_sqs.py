"""The consumer against SQS over HTTP, with the client code of production."""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any

import pytest
from aiobotocore.config import AioConfig
from aiobotocore.session import get_session
from aiohttp import web

from consumers.base import Outcome
from consumers.envelope import Envelope
from consumers.sqs import SQSConsumer
from tests.integration.sqs_stub import SQSStub

URL = "http://127.0.0.1/000000000000/events"
ERROR = {"__type": "com.amazonaws.sqs#RequestThrottled", "message": "slow down"}


class Recorder:
    """A Handler that gives the answers it was told to, then DONE."""

    def __init__(self, *answers: Outcome) -> None:
        self.answers = deque(answers)
        self.seen: list[str] = []

    async def __call__(self, envelopes: Sequence[Envelope]) -> list[Outcome]:
        self.seen += [e.message_id for e in envelopes]
        return [self.answers.popleft() if self.answers else Outcome.DONE for _ in envelopes]


@asynccontextmanager
async def consuming(stub: SQSStub, handler: Recorder, **settings: Any) -> AsyncIterator[SQSConsumer]:
    runner = web.ServerRunner(web.Server(stub))
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    port = runner.addresses[0][1]
    config = AioConfig(retries={"mode": "standard", "total_max_attempts": 1})

    def connect() -> Any:
        return get_session().create_client(
            "sqs",
            region_name="us-east-1",
            endpoint_url=f"http://127.0.0.1:{port}",
            aws_access_key_id="x",
            aws_secret_access_key="x",
            config=config,
        )

    consumer = SQSConsumer(
        connect=connect, queue_url=URL, handler=handler, wait_seconds=1, retry_seconds=0.01, **settings
    )
    task = asyncio.create_task(consumer.run())
    try:
        yield consumer
        consumer.stop()
        async with asyncio.timeout(10):
            await task
    finally:
        task.cancel()
        await runner.cleanup()


def run(test: Callable[[], Any]) -> None:
    asyncio.run(test())


def test_what_is_done_is_deleted_in_batches_across_receives() -> None:
    async def test() -> None:
        stub, handler = SQSStub(), Recorder()
        for n in range(25):
            stub.send(str(n))
        async with consuming(stub, handler, flush_seconds=1, pollers=1) as consumer:
            await stub.until(lambda: len(stub.deleted) == 25)
            assert consumer.ready
        assert handler.seen == [str(n) for n in range(25)]
        assert stub.batches == [10, 10, 5]

    run(test)


def test_what_is_not_understood_is_left_and_the_good_around_it_are_deleted() -> None:
    async def test() -> None:
        stub, handler = SQSStub(), Recorder(Outcome.DONE, Outcome.NOT_UNDERSTOOD)
        stub.send("a")
        stub.send("broken", '{"Type": "Notification", "TopicArn": "t"}')
        stub.send("b")
        stub.send("c")
        async with consuming(stub, handler, pollers=1):
            await stub.until(lambda: len(stub.deleted) == 2)
        assert handler.seen == ["a", "b", "c"]
        assert sorted(stub.deleted) == ["r-a", "r-c"]

    run(test)


def test_not_now_is_held_extended_and_tried_again_in_place() -> None:
    async def test() -> None:
        stub, handler = SQSStub(), Recorder(*[Outcome.NOT_NOW] * 10_000)
        stub.attributes["VisibilityTimeout"] = "1"
        stub.send("a")
        async with consuming(stub, handler):
            await stub.until(lambda: "r-a" in stub.extended)
            assert stub.deleted == []
            handler.answers.clear()
            await stub.until(lambda: stub.deleted == ["r-a"])
        assert set(handler.seen) == {"a"}

    run(test)


def test_throttling_a_broken_server_and_partial_failures_lose_nothing() -> None:
    async def test() -> None:
        stub, handler = SQSStub(), Recorder()
        failed = [{"Id": "0", "SenderFault": False, "Code": "InternalError"}]
        stub.faults["GetQueueAttributes"] = deque([(403, ERROR)])
        stub.faults["ReceiveMessage"] = deque([(400, ERROR), (500, {}), (503, {})])
        stub.faults["DeleteMessageBatch"] = deque([(500, {}), (200, {"Successful": [], "Failed": failed})])
        stub.send("a")
        async with consuming(stub, handler):
            await stub.until(lambda: stub.deleted == ["r-a"])
        assert handler.seen == ["a"]

    run(test)


def test_a_handle_that_is_no_good_any_more_is_given_up() -> None:
    async def test() -> None:
        stub, handler = SQSStub(), Recorder()
        failed = [{"Id": "0", "SenderFault": True, "Code": "ReceiptHandleIsInvalid"}]
        stub.faults["DeleteMessageBatch"] = deque([(200, {"Successful": [], "Failed": failed})])
        stub.attributes.pop("RedrivePolicy")
        stub.send("a")
        async with consuming(stub, handler):
            await stub.until(lambda: not stub.faults["DeleteMessageBatch"])
        assert stub.deleted == []

    run(test)


def test_a_fifo_queue_is_refused() -> None:
    with pytest.raises(ValueError, match="FIFO"):
        SQSConsumer(connect=lambda: pytest.fail("connected"), queue_url="https://q/1/a.fifo", handler=Recorder())
