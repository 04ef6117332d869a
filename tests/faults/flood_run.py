"""Carries out attacks on a service that has witnesses, and judges what came of each."""

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
from tests.faults.flood_service import Service, service
from tests.faults.flood_witnesses import Window, Witnesses
from tests.faults.mass import Stream, connect, request
from tests.integration.until import until

RECOVERY_SECONDS = 60.0
"""In which everything must be given back: a closing connection's last bytes have 30 s to leave."""

SPARE_DESCRIPTORS = 5
"""For calls to SQS that are just being made."""

HEARTBEAT_SECONDS = 5


@dataclass(kw_only=True)
class Result:
    """What some attacks, or none, came to."""

    outcomes: list[Outcome] = field(default_factory=list)
    window: Window
    peak: int = 0
    after: int = 0
    """Resident bytes, at most and when all were gone."""
    descriptors: int = 0
    recovery: float = 0.0
    """Seconds until streams and descriptors were back."""
    wrong: list[str] = field(default_factory=list)


class Flood:
    """One service and its witnesses."""

    def __init__(self, service: Service, witnesses: Witnesses, *, seconds: float, scale: float, seed: int) -> None:
        self.service = service
        self.witnesses = witnesses
        self._seconds = seconds
        self._scale = scale
        self._seed = seed
        self._descriptors = 0
        self._read = 0

    async def calm(self, seconds: float) -> Result:
        """Nobody attacks for a while: the baseline."""
        await self.service.metrics()
        self.witnesses.begin()
        self.service.forget_peak()
        await asyncio.sleep(seconds)
        self._descriptors = self.service.descriptors
        return await self._judged(Result(window=self.witnesses.begin()))

    async def attacked(self, *names: str) -> Result:
        """Carry out these at one time."""
        self.service.forget_peak()
        outcomes = await self._carry_out(names)
        result = Result(outcomes=outcomes, window=self.witnesses.begin())
        result.wrong += [f"{outcome.name}: {wrong}" for outcome in outcomes for wrong in outcome.wrong]
        result.wrong += [f"{name} came to no end" for name in set(names) - {outcome.name for outcome in outcomes}]
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
                    # What came before was only prepared.
                    self.witnesses.begin()
                else:
                    outcomes.append(Outcome.read(line.decode()))
            await program.wait()
        except BaseException:
            program.kill()
            raise
        return outcomes

    async def _judged(self, result: Result) -> Result:
        """See what is back, and whether somebody new is served."""
        service = self.service
        began = time.monotonic()
        most = self._descriptors + SPARE_DESCRIPTORS
        streams = 0.0
        for _ in range(int(RECOVERY_SECONDS * 5)):
            streams = (await service.metrics())["sse_streams_open"]
            if streams == len(self.witnesses) and service.descriptors <= most:
                break
            await asyncio.sleep(0.2)
        else:
            result.wrong.append(f"{streams:.0f} streams, {len(self.witnesses)} were there before")
            result.wrong.append(f"{service.descriptors} descriptors, {self._descriptors} before")
        result.recovery = time.monotonic() - began
        await self.witnesses.all_seen()
        await self._serves_somebody_new(result)
        result.peak, result.after = service.memory("VmHWM"), service.memory()
        result.descriptors = service.descriptors
        self.witnesses.begin()
        result.wrong += [f"{count} x {text}" for text, count in Counter(self.witnesses.wrong).items()]
        self.witnesses.wrong = []
        if service.process.ended:
            result.wrong.append("the service has ended")
        output = service.process.output
        if tracebacks := output.count("Traceback", self._read):
            last = output.rpartition("Traceback")[2].splitlines()[1:]
            # What belongs to a line of the log is indented.
            errors = [line.strip() for line in takewhile(lambda line: line.startswith(" "), last)]
            result.wrong.append(f"{tracebacks} tracebacks in the log, of the last: {' | '.join(errors[-4:])}")
        self._read = len(output)
        return result

    async def _serves_somebody_new(self, result: Result) -> None:
        stream = Stream(request(self.witnesses.token("somebody new")))
        await connect(self.service.port, stream)
        try:
            await until(lambda: stream.ready, seconds=10)
        except AssertionError:
            result.wrong.append("nobody new is served")
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
    """Run a service, with five streams of each of so many users and five silent ones, until the block ends."""
    settings = {
        **settings,
        "heartbeat_seconds": str(HEARTBEAT_SECONDS),
        "history_events": "12000",
        "dedupe_seconds": "60",
    }
    async with service(valkey=valkey, descriptors=descriptors, **settings) as running:
        witnesses = Witnesses(running, users=users, streams=5, silent=5, heartbeat=HEARTBEAT_SECONDS)
        async with witnesses.watching(rate=users * 5):
            yield Flood(running, witnesses, seconds=seconds, scale=scale, seed=seed)
