"""Many clients open streams at the same time while the provider turns to a new key.

``python -m tests.identity.storm --opens 2000`` prints what it costs. It takes half a minute to begin, because a service
that has just started asks for no keys.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import tempfile
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx

from tests.faults.attack_target import paced
from tests.faults.raw_clients import Stream, connect, connect_all, request
from tests.identity.target import Target, environment, target
from tests.integration.process import DEADLINE
from tests.integration.until import until

ASK_SECONDS = 30
"""How long the service waits before an unknown key id makes it ask the provider again."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Figures:
    """What a storm did."""

    opened: int
    refused: int
    fetches: int
    seconds: float
    """From the first request to the last ``stream.ready``."""
    delays: Sequence[float]
    """How long each event for a bystander took from the queue to its open stream, in seconds."""

    @property
    def p99(self) -> float:
        return p99(self.delays)

    @property
    def line(self) -> str:
        return (
            f"opened {self.opened}, refused {self.refused}, fetches {self.fetches}, {self.seconds:.2f} s; "
            f"a bystander's {len(self.delays)} events: p99 {self.p99 * 1000:.0f} ms, "
            f"longest {max(self.delays) * 1000:.0f} ms"
        )


def p99(seconds: Sequence[float]) -> float:
    return sorted(seconds)[int(len(seconds) * 0.99)]


def wait_until_askable(attacked: Target, *issuers: str) -> None:
    """Wait until an unknown key id makes the service fetch. To try it before would begin the wait again."""
    last = max(max(attacked.provider.fetched(name)) for name in issuers)
    time.sleep(max(0.0, last + ASK_SECONDS + 1 - time.time()))


def port_of(attacked: Target) -> int:
    return int(attacked.chain.url.rpartition(":")[2])


@asynccontextmanager
async def bystanders(attacked: Target) -> AsyncIterator[list[float]]:
    """Open a stream every 20 ms with a known key. Yields how long each one took."""
    waits: list[float] = []
    tokens = [request(attacked.provider.token("one", f"bystander-{number}", key=number % 2)) for number in range(100)]

    async def open_one(number: int) -> None:
        stream = Stream(tokens[number % len(tokens)])
        began = time.monotonic()
        try:
            await connect(port_of(attacked), stream)
            await until(lambda: stream.ready or stream.end, every=0.001)
            assert stream.ready, stream.answer
            waits.append(time.monotonic() - began)
        finally:
            # Also where the end of the storm cancels it in between.
            stream.leave()

    async def run() -> None:
        number = 0
        async with asyncio.TaskGroup() as tasks:
            while True:
                tasks.create_task(open_one(number))
                number += 1
                await asyncio.sleep(0.02)

    running = asyncio.create_task(run())
    try:
        yield waits
        assert not running.done(), running.exception()
    finally:
        running.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await running


class _Listener(Stream):
    """Measures events whose data is the time at which they were published."""

    __slots__ = ("delays",)

    def __init__(self, payload: bytes) -> None:
        super().__init__(payload)
        self.delays: list[float] = []

    def event(self, kind: str, data: str) -> None:
        if kind == "tick":
            self.delays.append(time.monotonic() - float(data))


@asynccontextmanager
async def listener(attacked: Target) -> AsyncIterator[list[float]]:
    """Publish an event every 20 ms to an open stream. Yields how long each one took."""
    stream = _Listener(request(attacked.provider.token("one", "listener")))
    await connect(port_of(attacked), stream)
    await until(lambda: stream.ready, "the bystander's stream is open")
    attributes = {
        name: {"DataType": "String", "StringValue": value}
        for name, value in (("user_id", "listener"), ("event_type", "tick"))
    }

    async def run() -> None:
        async with httpx.AsyncClient(trust_env=False, timeout=DEADLINE) as client:
            async for _ in paced(50, DEADLINE):
                tick = {"body": str(time.monotonic()), "attributes": attributes}
                (await client.post(f"{attacked.chain.queue}/put", json=tick)).raise_for_status()

    running = asyncio.create_task(run())
    try:
        yield stream.delays
        assert not running.done(), running.exception()
        assert not stream.end, stream.end
    finally:
        running.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await running
        stream.leave()


async def storm(attacked: Target, issuer: str, opens: int, *, rotate: bool = True) -> Figures:
    """Open streams, half of them with a key that the service does not know yet. The provider answers slowly."""
    login = attacked.provider
    known = [login.token(issuer, f"user-{number}") for number in range(opens)]
    before = len(login.fetched(issuer))
    if rotate:
        login.rotate(issuer)
        document = {"keys": [key.jwk for key in login.keys[issuer]]}
        login.answer(issuer, "keys", document, drip=0.0002)
    new = [login.token(issuer, f"user-{number}") for number in range(opens)]
    streams = [Stream(request((new if number % 2 else known)[number])) for number in range(opens)]
    async with listener(attacked) as delays:
        await until(lambda: len(delays) >= 25, "the bystander gets events")
        delays.clear()
        began = time.monotonic()
        await connect_all(port_of(attacked), streams)
        await until(lambda: all(stream.ready or stream.closed or stream.end for stream in streams), every=0.02)
        seconds = time.monotonic() - began
    opened = sum(stream.ready and not stream.end for stream in streams)
    for stream in streams:
        stream.leave()
    return Figures(
        opened=opened,
        refused=opens - opened,
        fetches=len(login.fetched(issuer)) - before,
        seconds=seconds,
        delays=delays,
    )


@contextmanager
def storm_target(directory: Path, *issuers: str, others: Sequence[str] = ()) -> Iterator[Target]:
    """Run a service for storms."""
    with (
        environment(directory, *issuers, others=others) as (login, out, queue),
        target(login, out, queue, (*issuers, *others), max_streams="20000") as running,
    ):
        for name in (*issuers, *others):
            running.wait_for(name)
        yield running


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--opens", type=int, default=2000)
    opens: int = parser.parse_args().opens
    with tempfile.TemporaryDirectory() as directory, storm_target(Path(directory), "one", "two") as attacked:
        print(f"known keys:      {asyncio.run(storm(attacked, 'two', opens, rotate=False)).line}", flush=True)
        wait_until_askable(attacked, "two")
        print(f"while they turn: {asyncio.run(storm(attacked, 'two', opens)).line}")


if __name__ == "__main__":
    main()
