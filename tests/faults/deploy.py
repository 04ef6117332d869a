"""Replaces three tasks while thousands of pages are open and events flow.

``python -m tests.faults.deploy --streams 2000`` prints its figures. The exit status is 1 if a guarantee was broken.
Pages connect through a balancer, which is a separate process. There are two orders:

- ``sigterm``: the task closes its streams itself. The balancer stops using the first and third task after SIGTERM, as
  if health checks told it, and the second task before SIGTERM.
- ``deregister``: what AWS documents for ECS behind an ALB. The balancer sends no new requests to the task, keeps its
  streams for the deregistration delay, and then cuts all of them at once. Only then the task gets SIGTERM.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import gc
import itertools
import json
import random
import signal
import sys
import time
from collections import Counter
from collections.abc import Sequence
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Self, get_args

import httpx
import uvloop

from sse_service.auth.tokens.signing import TokenSigner
from sse_service.streams.drain import MIN_OPEN_SECONDS
from tests.faults.checker import Published
from tests.faults.cluster import put, say, serving, steadily, until
from tests.faults.deploy_chart import chart
from tests.faults.deploy_figures import Figures, Order, Replaced
from tests.faults.eventsource import EventSource
from tests.faults.proxy import Balancer
from tests.faults.task_process import Task
from tests.integration.chain import SECRET
from tests.integration.process import DEADLINE
from tests.integration.sqs_stub import SQSStub
from tests.integration.valkey import Valkey

TASKS = 3

GROUP = 20
"""Streams in one group."""

GROUPS = 0.05
"""Share of events that are for a group."""

BROADCASTS = 0.002
"""Share of events that are for everybody; each is delivered to all streams."""

OPENING = 100
"""Pages that are opened at the same time at the start."""

EXIT_SECONDS = 5
"""Seconds that a task may take beyond its drain."""


class Deploy:
    """A service of three tasks with its pages, and the deploy that replaces the tasks."""

    def __init__(
        self,
        *,
        streams: int,
        rate: float,
        drain: int,
        order: Order = "sigterm",
        delay: float = 0,
        together: bool = False,
        max_age: int | None = None,
        least: bool = False,
        program: tuple[str, ...] = ("sse_service",),
    ) -> None:
        """Prepare a deploy.

        - ``delay`` is the deregistration delay, in seconds.
        - ``together`` replaces all tasks at the same time.
        - ``max_age`` is ``SSE_STREAM_MAX_AGE_SECONDS``.
        """
        self._streams = streams
        self._rate = rate
        self._drain = drain
        self._order = order
        self._delay = delay
        self._together = together
        self._max_age = max_age
        self._program = program
        self._stub = SQSStub()
        self._valkey = Valkey()
        self._balancer = Balancer(least=least)
        self._pages: list[EventSource] = []
        self._published: dict[str, Published] = {}
        self._sent: Counter[str] = Counter()
        """Events by channel."""
        self._running: list[asyncio.Task[None]] = []
        self._tasks: list[Task] = []
        self._in_service: list[Task] = []
        """The tasks that the balancer uses."""
        self._replaced: list[Replaced] = []
        self._failed = 0
        self._stack = AsyncExitStack()

    async def __aenter__(self) -> Self:
        try:
            self._stack.enter_context(self._valkey)
            self._queue = await self._stack.enter_async_context(serving(self._stub))
            await self._stack.enter_async_context(self._balancer)
            self._stack.push_async_callback(self._end)
            await asyncio.gather(*(self._start() for _ in range(TASKS)))
            await self._lead_to(*self._tasks)
            await self._open()
        except BaseException:
            await self._stack.aclose()
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._stack.aclose()

    async def _start(self) -> Task:
        settings = {"SSE_DRAIN_SECONDS": str(self._drain), "SSE_HISTORY_EVENTS": "200"}
        if self._max_age is not None:
            settings["SSE_STREAM_MAX_AGE_SECONDS"] = str(self._max_age)
        task = Task(queue=self._queue, valkey_port=self._valkey.port, program=self._program, settings=settings)
        self._tasks.append(task)
        await task.start()
        async with httpx.AsyncClient(trust_env=False) as http, asyncio.timeout(DEADLINE):
            ready = f"http://127.0.0.1:{task.port}/readyz"
            while (await http.get(ready)).status_code != 200:  # noqa: ASYNC110  readiness can only be polled
                await asyncio.sleep(0.05)
        return task

    async def _end(self) -> None:
        for task in self._running:
            task.cancel()
        await asyncio.gather(*self._running, return_exceptions=True)
        await asyncio.gather(*(task.end(signal.SIGKILL) for task in self._tasks if task.process))

    async def _lead_to(self, *tasks: Task) -> None:
        self._in_service = list(tasks)
        self._failed = await self._balancer.lead_to(*(task.port for task in tasks))

    async def _open(self) -> None:
        """Open the pages, each of another user, in groups."""
        tokens = TokenSigner(secret=SECRET)
        for number in range(self._streams):
            user, group = f"{number}", f"{number // GROUP}"
            page = EventSource(
                name=f"page {number}",
                user=user,
                channels=frozenset({f"user:{user}", f"group:{group}", "broadcast"}),
                port=self._balancer.port,
                token=tokens.sign(user, groups=[group], ttl_seconds=86_400),
                reasons=("drain",) if self._max_age is None else ("drain", "max_age"),
            )
            self._pages.append(page)
            self._running.append(asyncio.create_task(page.run()))
            if not len(self._pages) % OPENING:
                await until(self._all_open, "the pages are ready")
        await until(self._all_open, "all pages are ready")

    def _all_open(self) -> bool:
        return all(page.open for page in self._pages)

    async def run(self, *, quiet: float) -> Figures:
        """Replace every task, after ``quiet`` seconds in which only events flow."""
        publishing = asyncio.create_task(self._publish())
        self._running.append(publishing)
        begun = time.monotonic()
        await until(lambda: len(self._published) >= quiet * self._rate, "events flow", seconds=quiet + DEADLINE)
        for number, old in enumerate([list(self._tasks)] if self._together else [[task] for task in self._tasks]):
            new = await asyncio.gather(*(self._start() for _ in old))
            await self._lead_to(*self._in_service, *new)
            await self._replace(old, late=self._order == "sigterm" and number % 2 == 0)
        publishing.cancel()
        await self._settle()
        return Figures(
            pages=self._pages,
            published=self._published,
            acknowledged={handle.removeprefix("r-").rstrip("+") for handle in self._stub.deleted},
            dead=self._stub.dead_letters,
            replaced=self._replaced,
            outputs=[task.output for task in self._tasks],
            failed=self._failed,
            begun=begun,
            drain=self._drain,
            order=self._order,
            delay=self._delay,
        )

    async def _replace(self, old: Sequence[Task], *, late: bool) -> None:
        """End tasks. If ``late``, the balancer uses them for a while after SIGTERM, and the port must stay open."""
        rest = [task for task in self._in_service if task not in old]
        deregistered = time.monotonic()
        cut = None
        if not late:
            await self._lead_to(*rest)
        if self._order == "deregister":
            await asyncio.sleep(self._delay)
            cut = time.monotonic()
            streams = await self._balancer.cut(*(task.port for task in old))
            say(f"the balancer cut {streams} streams")
        told = time.monotonic()
        for task in old:
            task.signal(signal.SIGTERM)
        if late:
            await asyncio.sleep(min(self._drain, MIN_OPEN_SECONDS) * 0.75)
            deregistered = time.monotonic()
            await self._lead_to(*rest)
        with contextlib.suppress(AssertionError):
            await until(lambda: all(_ended(task) for task in old), seconds=self._drain + EXIT_SECONDS * 2)
        ended = time.monotonic()
        statuses = [await task.end(signal.SIGKILL) for task in old]
        in_time = ended - told <= self._drain + EXIT_SECONDS
        status = next((status for status in statuses if status), 0)
        self._replaced.append(Replaced(len(old), deregistered, cut, told, ended, status, late, in_time))
        say(f"{len(old)} tasks got SIGTERM and exited with status {status} after {ended - told:.1f} s")

    async def _publish(self) -> None:
        numbers = itertools.count(1)
        async for count in steadily(self._rate):
            for number in itertools.islice(numbers, count):
                self._publish_one(f"e{number}")
            await self._stub.notify()

    def _publish_one(self, event: str) -> None:
        kind, user = random.random(), random.randrange(self._streams)
        if kind < BROADCASTS:
            channel, attributes = "broadcast", {"broadcast": "true"}
        elif kind < BROADCASTS + GROUPS:
            channel, attributes = f"group:{user // GROUP}", {"group": f"{user // GROUP}"}
        else:
            channel, attributes = f"user:{user}", {"user_id": f"{user}"}
        data = json.dumps({"id": event, "padding": "x" * int(random.expovariate(1 / 200))})
        self._published[event] = Published(event, time.monotonic(), frozenset({channel}), data)
        self._sent[channel] += 1
        put(self._stub, self._published[event], attributes)

    async def _settle(self) -> None:
        """Wait until all events are seen. If some are not, the checker reports what is missing."""

        def complete() -> bool:
            expected = (sum(self._sent[channel] for channel in page.channels) for page in self._pages)
            return self._all_open() and all(p.received >= count for p, count in zip(self._pages, expected, strict=True))

        with contextlib.suppress(AssertionError):
            await until(lambda: len(self._stub.deleted) >= len(self._published))
            await until(complete, every=0.2)


def _ended(task: Task) -> bool:
    return task.process is None or task.process.ended


async def deploy(
    *,
    streams: int,
    rate: float,
    drain: int,
    quiet: float,
    order: Order = "sigterm",
    delay: float = 0,
    together: bool = False,
    max_age: int | None = None,
    least: bool = False,
    program: tuple[str, ...] = ("sse_service",),
) -> Figures:
    async with Deploy(
        streams=streams,
        rate=rate,
        drain=drain,
        order=order,
        delay=delay,
        together=together,
        max_age=max_age,
        least=least,
        program=program,
    ) as running:
        say(f"{streams} streams are open")
        return await running.run(quiet=quiet)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--streams", type=int, default=2000)
    parser.add_argument("--rate", type=float, default=100, help="events a second")
    parser.add_argument("--drain", type=int, default=20, help="SSE_DRAIN_SECONDS")
    parser.add_argument("--order", choices=get_args(Order), default="sigterm", help="what comes first")
    parser.add_argument("--delay", type=float, default=30, help="the deregistration delay, for the order deregister")
    parser.add_argument("--together", action="store_true", help="replace all tasks at the same time")
    parser.add_argument("--max-age", type=int, help="SSE_STREAM_MAX_AGE_SECONDS")
    parser.add_argument("--quiet", type=float, default=15, help="seconds before the first task is replaced")
    parser.add_argument("--least", action="store_true", help="balance by the fewest connections, not in turn")
    parser.add_argument("--picture", type=Path, help="where to write an SVG of the reconnects")
    given = parser.parse_args()
    # The garbage collector would visit all seen blocks, and its pauses would count as delays.
    gc.disable()
    figures = uvloop.run(
        deploy(
            streams=given.streams,
            rate=given.rate,
            drain=given.drain,
            quiet=given.quiet,
            order=given.order,
            delay=given.delay,
            together=given.together,
            max_age=given.max_age,
            least=given.least,
        )
    )
    print(figures)
    if given.picture:
        given.picture.write_text(chart({f"{given.streams:,} streams, order: {given.order}": figures}))
    return 1 if figures.violations else 0


if __name__ == "__main__":
    sys.exit(main())
