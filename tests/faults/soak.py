"""Opens, closes and resumes streams for hours while events flow, and measures the service's memory.

``python -m tests.faults.soak --seconds 600`` prints samples and, at the end, figures. The exit status is 1 if
descriptors, sockets, asyncio tasks or streams do not return to their numbers before. History and dedupe window
are a minute long here, so that they reach their full size long before the second half, for which slopes are computed.
"""

from __future__ import annotations

import argparse
import asyncio
import random
import sys
import time
from dataclasses import dataclass
from typing import Any

import uvloop

from sse_service.auth.tokens.signing import TokenSigner
from tests.faults.attacked_service import Service, service
from tests.faults.cluster import say
from tests.faults.raw_clients import Stream, connect, request
from tests.integration.chain import SECRET

USERS = 100
EVERY_SECONDS = 5.0
SETTLE_SECONDS = 60.0
SPARE = 5
"""How many descriptors and tasks may belong to calls to SQS in progress."""


@dataclass(frozen=True, slots=True)
class Sample:
    """The resources that the service uses at one moment."""

    seconds: float
    opened: float
    """Streams since it was started."""
    streams: float
    tasks: float
    descriptors: float
    sockets: float
    bytes: float

    def __str__(self) -> str:
        return (
            f"{self.seconds:6.0f} s: {self.opened:.0f} opened, {self.streams:.0f} streams, {self.tasks:.0f} tasks, "
            f"{self.descriptors:.0f} descriptors, {self.sockets:.0f} sockets, {self.bytes / 1e6:.1f} MB"
        )


async def take_sample(running: Service, began: float) -> Sample:
    found = await running.metrics()
    return Sample(
        seconds=time.monotonic() - began,
        opened=found['sse_streams_opened_total{protocol="sse"}'],
        streams=found["sse_streams_open"],
        tasks=found["sse_asyncio_tasks"],
        descriptors=found["sse_process_open_fds"],
        sockets=running.sockets,
        bytes=found["sse_process_resident_memory_bytes"],
    )


class Churn:
    """Pages that open streams, disconnect and resume."""

    def __init__(self, running: Service, *, seed: int, opens: float, streams: int, events: float) -> None:
        self._service = running
        self._random = random.Random(seed)
        tokens = TokenSigner(secret=SECRET)
        self._users = [(f"soak {n}", tokens.sign(f"soak {n}", ttl_seconds=86_400 * 7)) for n in range(USERS)]
        self._opens = opens
        self._stay = streams / opens
        self._events = events
        self._open: set[Stream] = set()
        self._cursors: dict[str, str] = {}

    async def run(self) -> None:
        """Run until cancelled. Then all pages disconnect."""
        due_opens, due_events, last = 0.0, 0.0, time.monotonic()
        try:
            while True:
                await asyncio.sleep(0.02)
                now = time.monotonic()
                due_opens += (now - last) * self._opens
                due_events += (now - last) * self._events
                last = now
                for _ in range(int(due_opens)):
                    await self._open_one()
                for _ in range(int(due_events)):
                    user, _ = self._random.choice(self._users)
                    self._service.publish(user, "x" * int(self._random.expovariate(1 / 300)))
                due_opens -= int(due_opens)
                due_events -= int(due_events)
                await self._service.stub.notify()
        finally:
            for stream in list(self._open):
                self._leave(stream)

    async def _open_one(self) -> None:
        _, token = self._random.choice(self._users)
        last_id = self._cursors.get(token, "") if self._random.random() < 0.7 else ""
        stream = Stream(request(token, last_id=last_id))
        await connect(self._service.port, stream)
        self._open.add(stream)
        asyncio.get_running_loop().call_later(
            self._random.expovariate(1 / self._stay), lambda: self._leave(stream, token)
        )

    def _leave(self, stream: Stream, token: str = "") -> None:
        if stream in self._open:
            self._open.discard(stream)
            if stream.last_id and token:
                self._cursors[token] = stream.last_id
            stream.leave(reset=self._random.random() < 0.5)


def slope(points: list[tuple[float, float]]) -> float:
    """Return the slope of the least-squares line; 0 if there is none."""
    if len(points) < 2:
        return 0.0
    mean_x, mean_y = (sum(values) / len(points) for values in zip(*points, strict=True))
    spread = sum((x - mean_x) ** 2 for x, _ in points)
    return sum((x - mean_x) * (y - mean_y) for x, y in points) / spread if spread else 0.0


async def settled(running: Service, baseline: Sample, began: float) -> tuple[Sample, list[str]]:
    """Wait until the service has released everything. Return the last sample, and what was not released."""
    wrong: list[str] = []
    until = time.monotonic() + SETTLE_SECONDS
    while True:
        now = await take_sample(running, began)
        wrong = [
            f"{name}: {before:.0f} before, {after:.0f} after"
            for name, before, after, spare in (
                ("streams", baseline.streams, now.streams, 0),
                ("tasks", baseline.tasks, now.tasks, SPARE),
                ("descriptors", baseline.descriptors, now.descriptors, SPARE),
                ("sockets", baseline.sockets, now.sockets, SPARE),
            )
            if after > before + spare
        ]
        if not wrong or time.monotonic() > until:
            return now, wrong
        await asyncio.sleep(1)


async def soak(*, seconds: float, seed: int, opens: float, streams: int, events: float, valkey: bool) -> list[str]:
    """Print samples and figures, and return what is wrong."""
    say(f"soak with seed {seed}: {opens:.0f} opens/s, about {streams} streams, {events:.0f} events/s")
    settings: dict[str, Any] = {"history_seconds": "60", "dedupe_seconds": "60"}
    async with service(valkey=valkey, **settings) as running:
        began = time.monotonic()
        await take_sample(running, began)
        baseline = await take_sample(running, began)
        print(baseline, flush=True)
        churn = asyncio.create_task(Churn(running, seed=seed, opens=opens, streams=streams, events=events).run())
        samples = []
        while time.monotonic() < began + seconds:
            await asyncio.wait([churn], timeout=EVERY_SECONDS)
            if churn.done():
                break
            samples.append(await take_sample(running, began))
            print(samples[-1], flush=True)
        churn.cancel()
        [ended] = await asyncio.gather(churn, return_exceptions=True)
        end, wrong = await settled(running, baseline, began)
        if not isinstance(ended, asyncio.CancelledError):
            wrong.append(f"the churn ended: {ended!r}")
        if "Traceback" in running.process.output:
            wrong.append(f"a traceback: {running.process.output.partition('Traceback')[2][:2000]}")
    half = [sample for sample in samples if sample.seconds > seconds / 2]
    print(f"baseline {baseline}", f"at the end {end}", sep="\n")
    print(f"memory, second half: {slope([(s.seconds, s.bytes) for s in half]) * 3600 / 1e6:+.2f} MB an hour, ", end="")
    print(f"{slope([(s.opened, s.bytes) for s in half]) * 1000 / 1e6:+.3f} MB for 1,000 streams opened")
    return wrong


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=600)
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(2**32))
    parser.add_argument("--opens", type=float, default=50, help="streams opened a second")
    parser.add_argument("--streams", type=int, default=300, help="streams open at one time, about")
    parser.add_argument("--events", type=float, default=50, help="events a second")
    parser.add_argument("--valkey", action="store_true", help="history in a Valkey server")
    wrong = uvloop.run(soak(**vars(parser.parse_args())))
    for text in wrong:
        say(text)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
