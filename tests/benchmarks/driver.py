"""The service as ``serve`` runs it, except that commands take the place of the queue and publish to its broker.

``python -m tests.benchmarks.driver PORT CONTROL_PORT``; settings as for ``serve``. Commands, by POST to the second:
``/all`` publishes its body to everyone; ``/prepare?first=&users=&count=`` makes events round robin and ``/go?batch=``
publishes them in batches, each like one receive; ``/flow?users=&count=&per_second=&batch=`` publishes batches at a
rate; ``/pace?first=&users=&count=&per_second=`` publishes single events at a rate; ``/churn?count=&per_second=``
subscribes to channels and drops them, and answers with the event loop's longest stall.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from typing import TYPE_CHECKING, Any
from unittest.mock import patch

from consumers.sqs.fast.status import FastPathStatus
from sse_service import cli, ingestion
from sse_service.model.events import BROADCAST, Event, Route, user_channel
from sse_service.streams.catchup import WORKERS
from tests.benchmarks.http_messages import Messages, target
from tests.benchmarks.payloads import Numbers, pace, payload

if TYPE_CHECKING:
    from collections.abc import Coroutine

    from sse_service.brokers.base import Broker


TURN = 10
"""Batches after which the event loop gets a turn."""
TICK = 0.001
"""Seconds between two looks at the event loop."""
FLOW_SECONDS = 0.005
"""Seconds between two looks at what is due in a flow."""


class Direct:
    """Takes the place of Ingest and keeps the broker."""

    def __init__(self, *, broker: Broker, **_: object) -> None:
        self.broker = broker


class Stalls:
    """The longest time for which the event loop gave nothing else a turn, in CPU time of this thread."""

    def __init__(self) -> None:
        self.longest = 0.0
        self._loop = asyncio.get_running_loop()
        self._used = time.thread_time()
        self._timer = self._loop.call_later(TICK, self._tick)

    def stop(self) -> None:
        """Look no more."""
        self._timer.cancel()

    def _tick(self) -> None:
        used = time.thread_time()
        self.longest, self._used = max(self.longest, used - self._used), used
        self._timer = self._loop.call_later(TICK, self._tick)


class Tap:
    """Takes the place of the consumer and executes commands."""

    port = 0

    def __init__(self, *, handler: Direct, **_: object) -> None:
        self.trouble: str | None = "takes no commands yet"
        self.fast_path = FastPathStatus()
        self._broker = handler.broker
        self._stopping = asyncio.Event()
        self._numbers = Numbers()
        self._ids = 0
        self._prepared: list[Route] = []
        self._came = 0

    def stop(self) -> None:
        """End."""
        self._stopping.set()

    async def run(self) -> None:
        """Take commands until stopped."""
        server = await asyncio.get_running_loop().create_server(lambda: Control(self), "127.0.0.1", self.port)
        # The service says that it is ready only now: a command that came earlier would be refused.
        self.trouble = None
        await self._stopping.wait()
        server.close()

    async def all(self, data: bytes) -> None:
        """Publish to everyone."""
        await self._broker.publish([self._route(data.decode(), BROADCAST)])

    async def prepare(self, first: int, users: int, count: int) -> None:
        """Make events."""
        self._prepared = [self._to(first + number % users, time.monotonic_ns()) for number in range(count)]

    async def go(self, batch: int) -> None:
        """Publish the prepared events. Writes are sent at once, so the turns of the loop add no cost to an event."""
        routes, self._prepared = self._prepared, []
        for number, start in enumerate(range(0, len(routes), batch)):
            await self._broker.publish(routes[start : start + batch])
            if number % TURN == 0:
                await asyncio.sleep(0)

    async def flow(self, users: int, count: int, per_second: int, batch: int) -> None:
        """Publish events round robin at a rate, in batches."""
        began, sent = time.monotonic(), 0
        while sent < count:
            due = min(int((time.monotonic() - began) * per_second), count)
            while sent + batch <= due:
                await self._broker.publish(
                    [self._to(n % users, time.monotonic_ns()) for n in range(sent, sent + batch)]
                )
                sent += batch
            await asyncio.sleep(FLOW_SECONDS)

    async def pace(self, first: int, users: int, count: int, per_second: int) -> None:
        """Publish at a rate. The age of an event counts from when it was due, even if this process was late."""
        waiting: asyncio.Queue[Route | None] = asyncio.Queue()

        async def publish() -> None:
            while (route := await waiting.get()) is not None:
                await self._broker.publish([route])

        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(publish())
            await pace(count, per_second, lambda n, due: waiting.put_nowait(self._to(first + n % users, due)))
            waiting.put_nowait(None)

    async def churn(self, count: int, per_second: int) -> dict[str, float]:
        """Let clients come and go at a rate, each with a channel of its own, as the catch-up's workers do."""
        waiting: asyncio.Queue[str | None] = asyncio.Queue()

        async def work() -> None:
            while (channel := await waiting.get()) is not None:
                await self._broker.subscribe([channel, BROADCAST])
                self._broker.unsubscribe(channel)

        stalls = Stalls()
        async with asyncio.TaskGroup() as tasks:
            for _ in range(WORKERS):
                tasks.create_task(work())
            self._came += count
            first = self._came
            await pace(count, per_second, lambda n, _: waiting.put_nowait(user_channel(f"guest-{first + n}")))
            for _ in range(WORKERS):
                waiting.put_nowait(None)
        stalls.stop()
        return {"stall_ms": stalls.longest * 1000}

    def _to(self, user: int, at: int) -> Route:
        return self._route(payload(at, self._numbers.take(user), user), user_channel(str(user)))

    def _route(self, data: str, channel: str) -> Route:
        self._ids += 1
        return Route(Event(id=f"event-{self._ids}", data=data, type="load.event"), (channel,))


class Control(Messages):
    """A connection for commands; the answer comes when a command is done."""

    def __init__(self, tap: Tap) -> None:
        super().__init__()
        self._tap = tap
        self._running: asyncio.Task[None] | None = None

    def message(self, head: bytes, body: bytes) -> None:
        path, query = target(head)
        arguments: dict[str, Any] = {"data": body} if path == "/all" else query
        self._running = asyncio.ensure_future(self._do(getattr(self._tap, path[1:])(**arguments)))

    async def _do(self, command: Coroutine[Any, Any, dict[str, float] | None]) -> None:
        self.answer(json.dumps(await command or {}).encode())


def main() -> int:
    """Run ``serve``."""
    port, Tap.port = sys.argv[1], int(sys.argv[2])
    with patch.object(ingestion, "SQSConsumer", Tap), patch.object(ingestion, "Ingest", Direct):
        return cli.main(["serve", "--port", port])


if __name__ == "__main__":
    sys.exit(main())
