"""The number of open polls: one while the queue is idle, more while receives are full."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from consumers.base import Outcome
from consumers.envelope import Envelope
from tests.integration.process import DEADLINE
from tests.integration.test_sqs import Queue, Recorder, run


def test_an_idle_queue_has_one_poll() -> None:
    async def test() -> None:
        queue = Queue()
        async with queue.consuming(pollers=8, wait_seconds=20):
            await queue.stub.until(lambda: queue.stub.polls == 1)
            for n in range(9):
                queue.stub.send(str(n))
                await queue.stub.notify()
                await queue.stub.until(lambda: not queue.stub.waiting and queue.stub.polls == 1)
        assert len(queue.stub.keys) < 2 + 1 + 2 * 9 + 1

    run(test)


def test_each_full_receive_starts_one_more_poller_up_to_the_limit() -> None:
    async def test() -> None:
        queue = Queue()
        for n in range(70):
            queue.stub.send(str(n))
        async with queue.consuming(pollers=3, wait_seconds=20):
            await queue.stub.until(lambda: queue.stub.polls == 3 and len(queue.stub.deleted) == 70)
        assert sorted(map(int, queue.handler.seen)) == list(range(70))

    run(test)


def test_the_backlog_is_received_while_the_handler_works() -> None:
    class Slow(Recorder):
        """Answers only when three receives wait for it."""

        def __init__(self) -> None:
            super().__init__()
            self.now = self.most = 0
            self.met = asyncio.Event()

        async def __call__(self, envelopes: Sequence[Envelope], /) -> list[Outcome]:
            self.now += 1
            self.most = max(self.most, self.now)
            if self.now == 3:
                self.met.set()
            async with asyncio.timeout(DEADLINE):
                await self.met.wait()
            self.now -= 1
            return await super().__call__(envelopes)

    async def test() -> None:
        handler = Slow()
        queue = Queue(handler)
        for n in range(50):
            queue.stub.send(str(n))
        async with queue.consuming(pollers=3, wait_seconds=20):
            await queue.stub.until(lambda: len(queue.stub.deleted) == 50)
        assert handler.most == 3

    run(test)


def test_empty_receives_end_all_pollers_but_the_last() -> None:
    async def test() -> None:
        queue = Queue()
        for n in range(40):
            queue.stub.send(str(n))
        async with queue.consuming(pollers=4, wait_seconds=1):
            await queue.stub.until(lambda: queue.stub.polls == 4)
            await queue.stub.until(lambda: queue.stub.polls == 1)
            before = len(queue.stub.keys)
            await queue.stub.until(lambda: len(queue.stub.keys) == before + 2)
            assert queue.stub.polls == 1
            for n in range(40):
                queue.stub.send(f"again-{n}")
            await queue.stub.notify()
            await queue.stub.until(lambda: queue.stub.polls == 4)

    run(test)


def test_a_stopped_consumer_starts_no_further_poll() -> None:
    class Stopping(Recorder):
        async def __call__(self, envelopes: Sequence[Envelope], /) -> list[Outcome]:
            consumer.stop()
            return await super().__call__(envelopes)

    async def test() -> None:
        nonlocal consumer
        queue = Queue(Stopping())
        for n in range(60):
            queue.stub.send(str(n))
        await queue.up()
        consumer = queue.consumer(pollers=2)
        async with asyncio.timeout(DEADLINE):
            await consumer.run()
        await queue.down()
        assert len(queue.stub.waiting) >= 40
        assert len(queue.stub.deleted) + len(queue.stub.waiting) == 60

    consumer = Queue().consumer()
    run(test)
