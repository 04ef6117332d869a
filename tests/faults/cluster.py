"""Runs several tasks behind a load balancer, with one Valkey, one queue, and clients that read."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import hmac
import itertools
import json
import random
import signal
import sys
import time
from collections.abc import AsyncIterator, Container
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from typing import Self

import httpx
from aiohttp import web

from sse_service.auth.tokens.signing import TokenSigner
from tests.faults.checker import Published, Violation, check
from tests.faults.client import Client, events
from tests.faults.proxy import Proxy
from tests.faults.task_process import ProxiedTask, Task
from tests.integration import until as waiting
from tests.integration.chain import SECRET
from tests.integration.process import DEADLINE
from tests.integration.sqs_stub import SQSStub
from tests.integration.valkey import Valkey

SETTLE_SECONDS = DEADLINE
"""Time for everything to be delivered after the last fault."""

VISIBILITY_SECONDS = 10

# Polls less often, because one event loop runs all clients of a cluster.
until = partial(waiting.until, seconds=SETTLE_SECONDS, every=0.05)

GAPS = ("epoch", "trimmed", "lost")


class Cluster:
    """The cluster for a chaos run. It publishes events all the time."""

    def __init__(
        self,
        *,
        seed: int,
        tasks: int = 3,
        users: int = 20,
        rate: float = 100.0,
        client: type[Client] = Client,
        program: tuple[str, ...] = ("sse_service",),
        **settings: str,
    ) -> None:
        self.random = random.Random(seed)
        self.rate = rate
        self._users = [f"user {n}:{{}}*é" for n in range(users)]
        self._count = tasks
        self._client = client
        self._program = program
        self._settings = settings
        self.stub = SQSStub()
        self.stub.attributes["VisibilityTimeout"] = str(VISIBILITY_SECONDS)
        self.valkey = Valkey(persistent=True)
        self.published: dict[str, Published] = {}
        self.clients: list[Client] = []
        self.tasks: list[ProxiedTask] = []
        self.paused = False
        """Whether publishing is paused."""
        self._numbers = itertools.count(1)
        self._stack = AsyncExitStack()

    async def __aenter__(self) -> Self:
        try:
            await self._start()
        except BaseException:
            await self._stack.aclose()
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._stack.aclose()

    async def _start(self) -> None:
        self._stack.enter_context(self.valkey)
        self.queue = await self._stack.enter_async_context(serving(self.stub))
        self.balancer = await self._stack.enter_async_context(Proxy())
        for _ in range(self._count):
            proxy = await self._stack.enter_async_context(Proxy(self.valkey.port))
            self.tasks.append(ProxiedTask(proxy, queue=self.queue, program=self._program, settings=self._settings))
        self._stack.push_async_callback(self._end_tasks)
        await asyncio.gather(*(task.start() for task in self.tasks))
        self.rebalance()
        await self._stack.enter_async_context(self._background())

    @asynccontextmanager
    async def _background(self) -> AsyncIterator[None]:
        tokens = TokenSigner(secret=SECRET)
        for number, user in enumerate(self._users * 2):
            groups = ["ops"] if number % 3 == 0 else []
            channels = frozenset({f"user:{user}", "broadcast", *(f"group:{group}" for group in groups)})
            token = tokens.sign(user, groups=groups, ttl_seconds=86_400)
            self.clients.append(
                self._client(
                    name=f"client {number} of {user}",
                    user=user,
                    channels=channels,
                    port=self.balancer.port,
                    token=token,
                    random=random.Random(self.random.random()),
                )
            )
        self._running = [asyncio.create_task(client.run()) for client in self.clients]
        await until(lambda: all(client.greeted for client in self.clients), "all clients are ready")
        self._running.append(asyncio.create_task(self._publishing()))
        try:
            yield
        finally:
            for task in self._running:
                task.cancel()
            for result in await asyncio.gather(*self._running, return_exceptions=True):
                if isinstance(result, Exception):
                    raise result

    async def _end_tasks(self) -> None:
        await asyncio.gather(*(task.end(signal.SIGKILL) for task in self.tasks if task.process))

    def replace_valkey(self, new: Valkey) -> None:
        """Replace the Valkey server by a running one, and stop the old one."""
        old, self.valkey = self.valkey, new
        old.kill()
        self._stack.push(new.__exit__)

    def rebalance(self) -> None:
        """Send new connections only to the running tasks."""
        self.balancer.upstreams = [task.port for task in self.tasks if task.process]

    def publish(self, count: int = 1) -> None:
        """Put events into the queue: most for one user, some for a group or for everybody."""
        for _ in range(count):
            number = next(self._numbers)
            kind = self.random.random()
            user = self.random.choice(self._users)
            if kind < 0.9:
                channels, attributes = frozenset({f"user:{user}"}), {"user_id": user}
            elif kind < 0.95:
                channels, attributes = frozenset({f"user:{user}", "group:ops"}), {"user_id": user, "group": "ops"}
            else:
                channels, attributes = frozenset({"broadcast"}), {"broadcast": "true"}
            event = f"e{number}"
            owner = hmac.new(SECRET.encode(), repr(sorted(channels)).encode(), hashlib.sha256).hexdigest()
            padding = "x" * int(self.random.expovariate(1 / 200))
            data = json.dumps({"id": event, "owner": owner, "padding": padding})
            self.published[event] = Published(event, time.monotonic(), channels, data)
            put(self.stub, self.published[event], attributes)

    async def _publishing(self) -> None:
        async for count in steadily(self.rate):
            self.publish(0 if self.paused else count)
            await self.stub.notify()

    def acknowledged(self) -> set[str]:
        """The events whose messages were deleted."""
        return {handle.removeprefix("r-").rstrip("+") for handle in self.stub.deleted}

    async def settle(self, seconds: float = SETTLE_SECONDS) -> None:
        """Pause publishing, and wait until every event is acknowledged and seen, or covered by a gap."""
        self.paused = True
        for client in self.clients:
            client.calm = True
        await until(
            lambda: len(self.acknowledged()) + len(set(self.stub.dead_letters)) >= len(self.published),
            "all messages are acknowledged",
        )
        with contextlib.suppress(AssertionError):
            await until(
                lambda: not [v for v in self.violations() if v.kind == "lost"],
                "all is seen",
                seconds=seconds,
                every=1,
            )

    def violations(self, gaps_allowed: Container[str] = GAPS) -> list[Violation]:
        return check(
            self.clients, self.published, self.acknowledged(), self.stub.dead_letters, gaps_allowed=gaps_allowed
        )

    async def time_to_new_event(self) -> float:
        """Return the seconds until any client sees an event that is published from now on."""
        began = time.monotonic()
        marks = [len(client.seen) for client in self.clients]

        def seen() -> bool:
            return any(
                self.published[json.loads(block.data)["id"]].at >= began
                for client, mark in zip(self.clients, marks, strict=True)
                for block in events(client.seen[mark:])
            )

        await until(seen, "a new event is seen")
        return time.monotonic() - began

    async def metric(self, task: Task, name: str) -> float:
        async with httpx.AsyncClient(trust_env=False) as http:
            text = (await http.get(f"{task.admin}/metrics")).text
        return next((float(line.split()[1]) for line in text.splitlines() if line.split()[0] == name), 0.0)

    async def footprint(self, task: Task) -> dict[str, float]:
        """Descriptors, resident bytes, asyncio tasks and streams of one process."""
        assert task.process is not None
        return {
            "descriptors": await self.metric(task, "sse_process_open_fds"),
            "bytes": await self.metric(task, "sse_process_resident_memory_bytes"),
            "tasks": await self.metric(task, "sse_asyncio_tasks"),
            "streams": await self.metric(task, "sse_streams_open"),
        }


@asynccontextmanager
async def serving(stub: SQSStub) -> AsyncIterator[str]:
    """Run the stub and return its URL."""
    runner = web.ServerRunner(web.Server(stub))
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        # Otherwise cleanup waits for open polls.
        await stub.end_polls()
        await runner.cleanup()


def put(stub: SQSStub, event: Published, attributes: dict[str, str]) -> None:
    """Put an event into the queue."""
    named = {**attributes, "event_id": event.id}
    typed = {name: {"DataType": "String", "StringValue": value} for name, value in named.items()}
    stub.send(event.id, event.data, MessageAttributes=typed)


async def steadily(rate: float) -> AsyncIterator[int]:
    """Yield how many are due. The average rate is kept, even if the task is woken late."""
    due, last = 0.0, time.monotonic()
    while True:
        await asyncio.sleep(0.02)
        now = time.monotonic()
        due, last = due % 1 + (now - last) * rate, now
        yield int(due)


def say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)
