"""What an event costs in the Valkey server itself, next to a script as Centrifuge has."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from collections import deque
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator, Sequence
from contextlib import AsyncExitStack, ExitStack, asynccontextmanager, contextmanager
from functools import partial
from itertools import count
from pathlib import Path
from typing import Any, cast

import hiredis

from sse_service.brokers.dedupe import MAX_DEDUPE_KEYS
from sse_service.brokers.valkey.connections import Connections
from sse_service.brokers.valkey.entries import encode
from sse_service.brokers.valkey.losses import LossDetector
from sse_service.brokers.valkey.publisher import ValkeyPublisher
from sse_service.brokers.valkey.requirements import parse_info
from sse_service.brokers.valkey.scripts import source
from sse_service.model.events import Event, Route, user_channel
from sse_service.telemetry.metrics import Metrics
from tests.benchmarks.bench import Bench
from tests.benchmarks.pinned_process import LOAD_CORE, SERVER_CORE, PinnedProcess, by_turns
from tests.benchmarks.table import Row, median
from tests.integration.until import until

BATCH = 10
"""Events in one receive, and single receives under way."""
KEPT = 200
"""Events of a channel that are kept."""
DATA = "x" * 128
PREFILL = 100
"""Events in one call while histories are filled."""
HOUR, QUARTER_YEAR = 3_600, 7_776_000
REMEMBERED = 900
SOURCE = Path(__file__).with_name("history_stream.lua").read_bytes()
REFERENCE = "Centrifuge's script"

Publish = Callable[[list[Route]], Coroutine[Any, Any, None]]


class Store:
    """One Valkey server, with a client that publishes to it, and one that is subscribed to every channel."""

    def __init__(self, server: PinnedProcess, users: int) -> None:
        self.server = server
        self.users = users
        self.published = self.received = self.faults = 0
        self._ids = count()

    def prefix(self) -> str:
        """Return what the pub/sub channels of users begin with."""
        raise NotImplementedError

    def connected(self) -> Any:
        """Connect, and yield what publishes the events of one receive."""
        raise NotImplementedError

    def receives(self, events: int, *, size: int = BATCH, abreast: int = 1) -> float:
        """Publish receives of some size, so many abreast, and return the server's CPU per event in µs."""
        return asyncio.run(self._receives(events, size, abreast))

    def fill(self) -> None:
        """Publish as many events to each channel as are kept, and some more."""
        self.receives(self.users * (KEPT + KEPT // 10), size=PREFILL)

    async def _receives(self, events: int, size: int, abreast: int) -> float:
        routes = [self._route(next(self._ids)) for _ in range(events)]
        receives = iter([routes[start : start + size] for start in range(0, events, size)])
        async with AsyncExitStack() as stack:
            await stack.enter_async_context(self._listener())
            publish = await stack.enter_async_context(self.connected())

            async def work() -> None:
                for receive in receives:
                    await publish(receive)

            before = self.server.cpu()
            await asyncio.gather(*(work() for _ in range(abreast)))
            self.published += events
            await until(lambda: self.received == self.published)
            return (self.server.cpu() - before) / events * 1e6

    def _route(self, number: int) -> Route:
        return Route(Event(f"event-{number}", DATA, "load.event"), (user_channel(str(number % self.users)),))

    @asynccontextmanager
    async def _listener(self) -> AsyncIterator[None]:
        """Subscribe to all channels, and count the messages."""
        replies = Replies()
        port = self.server.port
        transport, _ = await asyncio.get_running_loop().create_connection(lambda: replies, "127.0.0.1", port)
        names = [f"{self.prefix()}{user_channel(str(user))}" for user in range(self.users)]
        transport.write(hiredis.pack_command(("SUBSCRIBE", *names)))
        await until(lambda: replies.count == self.users)

        def received(_: object) -> None:
            self.received += 1

        replies.take = received
        try:
            yield
        finally:
            transport.close()


class Replies(asyncio.Protocol):
    """The answers of a connection."""

    def __init__(self) -> None:
        self.count = 0
        self.take: Callable[[Any], None] = lambda _: None
        self._reader = hiredis.Reader()

    def data_received(self, data: bytes) -> None:
        self._reader.feed(data)
        while (reply := self._reader.gets()) is not False:
            self.count += 1
            self.take(reply)


class RawConnection(Replies):
    """A connection that packs and parses with as little as can be, so that the server need not wait for its client."""

    def __init__(self) -> None:
        super().__init__()
        self.take = self._answer
        self._waiting: deque[asyncio.Future[Any]] = deque()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.WriteTransport)
        self._transport = transport

    async def call(self, *arguments: str | bytes | int) -> Any:
        (answer,) = await self.calls([arguments])
        return answer

    async def calls(self, commands: Sequence[tuple[str | bytes | int, ...]]) -> list[Any]:
        """Send commands in one write, and return their answers."""
        answers = [asyncio.get_running_loop().create_future() for _ in commands]
        self._waiting += answers
        self._transport.write(b"".join(map(hiredis.pack_command, commands)))
        await answers[-1]
        return [answer.result() for answer in answers]

    def _answer(self, reply: Any) -> None:
        self._waiting.popleft().set_result(reply)


@asynccontextmanager
async def raw_connection(port: int) -> AsyncIterator[RawConnection]:
    transport, connection = await asyncio.get_running_loop().create_connection(RawConnection, "127.0.0.1", port)
    try:
        yield connection
    finally:
        transport.close()


class OneServer:
    """Takes the place of the broker's connections."""

    def __init__(self, storing: RawConnection, run_id: str) -> None:
        self.storing, self.run_id = storing, run_id

    def operation_succeeded(self, operation: str) -> None: ...

    def operation_failed(self, operation: str, error: Exception) -> None:
        raise error


class Ours(Store):
    """The store of this service, and its own publisher."""

    def prefix(self) -> str:
        return "{sse}:0:live:"

    @asynccontextmanager
    async def connected(self) -> AsyncIterator[Publish]:
        metrics = Metrics()
        async with raw_connection(self.server.port) as connection:
            await connection.call("SCRIPT", "LOAD", source("publish"))
            run_id = parse_info(await connection.call("INFO", "server"))["run_id"]
            publisher = ValkeyPublisher(
                connections=cast(Connections, OneServer(connection, run_id)),
                losses=LossDetector(on_lost=lambda _: None, metrics=metrics),
                metrics=metrics,
                prefix=self.prefix(),
                limits=(KEPT, HOUR * 1_000_000, 2**30, REMEMBERED * 1_000_000, MAX_DEDUPE_KEYS),
            )
            yield publisher.publish


class Theirs(Store):
    """The reference, ten calls in one write."""

    def prefix(self) -> str:
        return "centrifuge.client."

    @asynccontextmanager
    async def connected(self) -> AsyncIterator[Publish]:
        async with raw_connection(self.server.port) as connection:
            sha = await connection.call("SCRIPT", "LOAD", SOURCE)

            def command(route: Route) -> tuple[str | bytes | int, ...]:
                (channel,), name = route.channels, route.event.id
                kept = (f"centrifuge.{kind}.{channel}" for kind in ("stream", "meta", f"result.{name}"))
                settings = (KEPT, HOUR, self.prefix() + channel, QUARTER_YEAR, "abcd", REMEMBERED)
                return ("EVALSHA", sha, 3, *kept, encode(route), *settings)

            async def publish(routes: list[Route]) -> None:
                answers = await connection.calls([command(route) for route in routes])
                self.faults += sum(isinstance(answer, Exception) or answer[2] != b"0" for answer in answers)

            yield publish


@contextmanager
def _awake() -> Iterator[None]:
    """Keep both cores from sleeping, by processes that run when nothing else does.

    On a virtual machine it costs 100 to 500 µs to wake a core, which the sender pays.
    """
    program = "import os; os.sched_setscheduler(0, os.SCHED_IDLE, os.sched_param(0))\nwhile True: pass"
    with ExitStack() as stack:
        for core in (SERVER_CORE, LOAD_CORE):
            spinner = stack.enter_context(subprocess.Popen((sys.executable, "-c", program)))
            stack.callback(spinner.kill)
            os.sched_setaffinity(spinner.pid, {core})
        yield


@contextmanager
def _on_load_core() -> Iterator[None]:
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {LOAD_CORE})
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


def valkey_server(bench: Bench) -> list[Row]:
    """The CPU of an event in Valkey, with histories that fill and histories that are full."""
    size = bench.size
    events = size.events // size.turns
    with ExitStack() as stack:
        stack.enter_context(_awake())
        ours = Ours(stack.enter_context(bench.valkey(core=SERVER_CORE))[0], size.few)
        theirs = Theirs(stack.enter_context(bench.valkey(core=SERVER_CORE))[0], size.few)
        stack.enter_context(_on_load_core())
        rows = []
        for histories in ("filling", "full"):
            if histories == "full":
                ours.fill()
                theirs.fill()
            tens = by_turns(size.turns, *((each.server, partial(each.receives, events)) for each in (ours, theirs)))
            ones = by_turns(
                size.turns,
                (ours.server, partial(ours.receives, events, size=1, abreast=BATCH)),
                (theirs.server, partial(theirs.receives, events, size=BATCH)),
            )
            rows += [
                _row(f"Valkey's CPU per event, receives of ten, histories {histories}", tens, 0.9),
                _row(f"Valkey's CPU per event, ten single receives under way, histories {histories}", ones, 1.2),
            ]
        for store in (ours, theirs):
            bench.faults["refused"] += store.faults
    most = [Row("events a second of one Valkey core", "/s", 1e6 / one, 1e6 / other, REFERENCE) for one, other in tens]
    return [*rows, median(most)]


def _row(name: str, turns: list[list[float]], bar: float) -> Row:
    return median([Row(name, "µs", ours, theirs, REFERENCE, bar) for ours, theirs in turns])
