"""Carries out attacks on a service with bystanders, and checks the result of each."""

from __future__ import annotations

import asyncio
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from itertools import takewhile

from tests.faults.attack_target import Outcome
from tests.faults.attacked_service import Service, service
from tests.faults.bystanders import Bystanders, Window
from tests.faults.raw_clients import Stream, connect, request
from tests.integration.until import until

RECOVERY_SECONDS = 60.0
"""Seconds for the service to release everything. The last bytes of a closing connection may take 30 s."""

SPARE_DESCRIPTORS = 5
"""Descriptors of calls to SQS in progress."""

HEARTBEAT_SECONDS = 5


@dataclass(kw_only=True)
class Result:
    """The result of some attacks, or of none."""

    outcomes: list[Outcome] = field(default_factory=list)
    window: Window
    peak: int = 0
    after: int = 0
    """Resident bytes: the peak, and after the attack."""
    descriptors: int = 0
    recovery: float = 0.0
    """Seconds until streams and descriptors were back to their numbers before."""
    wrong: list[str] = field(default_factory=list)


class Flood:
    """One service and its bystanders."""

    def __init__(self, service: Service, bystanders: Bystanders, *, seconds: float, scale: float, seed: int) -> None:
        self.service = service
        self.bystanders = bystanders
        self._seconds = seconds
        self._scale = scale
        self._seed = seed
        self._descriptors = 0
        self._read = 0

    async def calm(self, seconds: float) -> Result:
        """Measure the baseline, without an attack."""
        await self.service.metrics()
        self.bystanders.begin()
        self.service.forget_peak()
        await asyncio.sleep(seconds)
        self._descriptors = self.service.descriptors
        return await self._judged(Result(window=self.bystanders.begin()))

    async def attacked(self, *names: str) -> Result:
        """Carry out these attacks at the same time."""
        self.service.forget_peak()
        outcomes = await self._carry_out(names)
        result = Result(outcomes=outcomes, window=self.bystanders.begin())
        result.wrong += [f"{outcome.name}: {wrong}" for outcome in outcomes for wrong in outcome.wrong]
        result.wrong += [f"{name} did not finish" for name in set(names) - {outcome.name for outcome in outcomes}]
        return await self._judged(result)

    async def _carry_out(self, names: Sequence[str]) -> list[Outcome]:
        arguments = {
            "port": self.service.port,
            "queue": self.service.queue,
            "seconds": self._seconds,
            "scale": self._scale,
            "seed": self._seed,
        }
        program = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "tests.faults.attacks", *names),
            *(text for name, value in arguments.items() for text in (f"--{name}", str(value))),
            stdout=asyncio.subprocess.PIPE,
        )
        outcomes = []
        try:
            assert program.stdout is not None
            async for line in program.stdout:
                if line.startswith(b"begin "):
                    # Before this line, the attack was only prepared.
                    self.bystanders.begin()
                else:
                    outcomes.append(Outcome.read(line.decode()))
            await program.wait()
        except BaseException:
            program.kill()
            raise
        return outcomes

    async def _judged(self, result: Result) -> Result:
        """Wait until streams and descriptors are released, and check that a new user is served."""
        service = self.service
        began = time.monotonic()
        most = self._descriptors + SPARE_DESCRIPTORS
        streams = 0.0
        for _ in range(int(RECOVERY_SECONDS * 5)):
            streams = (await service.metrics())["sse_streams_open"]
            if streams == len(self.bystanders) and service.descriptors <= most:
                break
            await asyncio.sleep(0.2)
        else:
            result.wrong.append(f"{streams:.0f} streams, {len(self.bystanders)} were there before")
            result.wrong.append(f"{service.descriptors} descriptors, {self._descriptors} before")
        result.recovery = time.monotonic() - began
        await self.bystanders.all_seen()
        await self._serves_a_new_user(result)
        result.peak, result.after = service.memory("VmHWM"), service.memory()
        result.descriptors = service.descriptors
        self.bystanders.begin()
        result.wrong += [f"{count} x {text}" for text, count in Counter(self.bystanders.wrong).items()]
        self.bystanders.wrong = []
        if service.process.ended:
            result.wrong.append("the service has ended")
        output = service.process.output
        if tracebacks := output.count("Traceback", self._read):
            last = output.rpartition("Traceback")[2].splitlines()[1:]
            # Continuation lines of the log are indented.
            errors = [line.strip() for line in takewhile(lambda line: line.startswith(" "), last)]
            result.wrong.append(f"{tracebacks} tracebacks in the log, of the last: {' | '.join(errors[-4:])}")
        self._read = len(output)
        return result

    async def _serves_a_new_user(self, result: Result) -> None:
        stream = Stream(request(self.bystanders.token("new user")))
        await connect(self.service.port, stream)
        try:
            await until(lambda: stream.ready)
        except AssertionError:
            result.wrong.append("a new user is not served")
        stream.leave()


@asynccontextmanager
async def flood(
    *,
    seconds: float,
    scale: float = 1.0,
    seed: int = 0,
    valkey: bool = False,
    descriptors: int = 0,
    users: int = 10,
    **settings: str,
) -> AsyncIterator[Flood]:
    """Run a service with bystanders: five streams for each of ``users`` and five silent ones."""
    settings = {
        **settings,
        "heartbeat_seconds": str(HEARTBEAT_SECONDS),
        "history_events": "12000",
        "dedupe_seconds": "60",
    }
    async with service(valkey=valkey, descriptors=descriptors, **settings) as running:
        bystanders = Bystanders(running, users=users, streams=5, silent=5, heartbeat=HEARTBEAT_SECONDS)
        async with bystanders.watching(rate=users * 5):
            yield Flood(running, bystanders, seconds=seconds, scale=scale, seed=seed)
