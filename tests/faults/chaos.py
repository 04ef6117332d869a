"""Injects random faults into a cluster for a given time, and checks the events that every client saw.

``python -m tests.faults.chaos --seconds 1200 --seed 7`` prints what it does and, at the end, its figures. The exit
status is 1 if a guarantee was broken.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import sys
import time
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from tests.faults.checker import Violation
from tests.faults.client import Client, events
from tests.faults.cluster import SETTLE_SECONDS, Cluster, say
from tests.faults.faults import FAULTS, LOSES_DATA, LOSES_PUSHES
from tests.faults.mixed_client import MixedClient


@dataclass(slots=True)
class Report:
    """The result of a run."""

    seed: int
    violations: list[Violation] = field(default_factory=list)
    faults: Counter[str] = field(default_factory=Counter)
    events: int = 0
    deliveries: int = 0
    reconnects: int = 0
    gaps: Counter[str] = field(default_factory=Counter)
    ways: Counter[str] = field(default_factory=Counter)
    """Connections of each way to listen, of clients that change between them."""
    changes: int = 0
    slowest_heal: tuple[float, str] = (0.0, "")
    """The longest time from the end of a fault to the first new event, in seconds, and the fault."""
    footprints: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        lines = [
            f"seed {self.seed}: {self.events} events, {self.deliveries} deliveries, {self.reconnects} reconnects",
            *([f"connections: {dict(self.ways)}, {self.changes} changes of the way"] if self.ways else []),
            f"faults: {dict(self.faults)}",
            f"gaps: {dict(self.gaps)}",
            "longest wait for a new event after a fault: {:.1f} s, after {}".format(*self.slowest_heal),
            *self.footprints,
            f"violations: {len(self.violations)}",
            *[f"  {violation.kind}: {violation.text}" for violation in self.violations[:50]],
        ]
        return "\n".join(lines)


async def chaos(
    *,
    seed: int,
    seconds: float,
    hold: float = 3.0,
    names: Sequence[str] = (),
    tasks: int = 3,
    rate: float = 100.0,
    users: int = 20,
    mixed: bool = False,
    program: tuple[str, ...] = ("sse_service",),
    patience: float = SETTLE_SECONDS,
) -> Report:
    """Run faults one after the other in random order. Each comes once before any comes again.

    Each user has two clients. With ``mixed``, they change between all ways to listen.
    """
    say(f"chaos with seed {seed}")
    chosen = list(names or FAULTS)
    order = random.Random(seed)
    report = Report(seed)
    client = MixedClient if mixed else Client
    async with Cluster(seed=seed, tasks=tasks, rate=rate, users=users, client=client, program=program) as cluster:
        # The first fault must find events on their way.
        await cluster.time_to_new_event()
        before = [await cluster.footprint(task) for task in cluster.tasks]
        until = time.monotonic() + seconds
        queue: list[str] = []
        while time.monotonic() < until or queue:
            queue = queue or order.sample(chosen, len(chosen))
            name = queue.pop()
            if time.monotonic() >= until and report.faults[name]:
                continue
            # One in twenty lasts ten times as long.
            await FAULTS[name](cluster, order.uniform(hold / 2, hold) * (10 if order.random() < 0.05 else 1))
            took = await cluster.time_to_new_event()
            report.violations += [
                Violation("task ended", f"task {number} by itself, after {name}: {task.output[-6000:]}")
                for number, task in enumerate(cluster.tasks)
                if task.process is not None and task.process.ended
            ]
            if report.violations:
                return report
            say(f"{time.monotonic() - until + seconds:6.1f} s: {name}, a new event after {took:.1f} s")
            report.faults[name] += 1
            report.slowest_heal = max(report.slowest_heal, (took, name))
        await cluster.settle(patience)
        report.violations = cluster.violations(_gaps(chosen))
        for each in cluster.clients:
            report.deliveries += len(events(each.seen))
            report.reconnects += each.connections - 1
            if isinstance(each, MixedClient):
                report.ways.update(each.ways)
                report.changes += each.changes
            report.gaps.update(json.loads(b.data)["reason"] for b in each.seen if b.type == "stream.gap")
        report.events = len(cluster.published)
        for number, (task, old) in enumerate(zip(cluster.tasks, before, strict=True)):
            now = await cluster.footprint(task)
            report.footprints.append(f"task {number}: {old} before, {now} after")
            report.violations += [Violation("leak", f"task {number}: {text}") for text in _leaks(old, now)]
            for line in task.output.splitlines():
                if "Traceback" in line or "was never retrieved" in line:
                    report.violations.append(Violation("traceback", f"task {number}: {task.output[-3000:]}"))
                    break
    return report


def _gaps(names: Iterable[str]) -> set[str]:
    """Return the gap reasons that these faults may cause."""
    reasons = {"epoch"} if LOSES_DATA.intersection(names) else set()
    if LOSES_PUSHES.intersection(names):
        reasons.add("lost")
    # A removed key may be a channel's history.
    return reasons | ({"trimmed", "lost"} if "some keys removed" in names else set())


def _leaks(old: dict[str, float], now: dict[str, float]) -> list[str]:
    """Return what has grown by more than the open streams explain."""
    more = now["streams"] - old["streams"]
    # An open stream keeps a descriptor and no task. The ten are for polls and new connections in progress.
    explained = {"descriptors": more + 10, "tasks": 10}
    found = [
        f"{what} {old[what]:.0f}, then {now[what]:.0f} with {more:+.0f} streams"
        for what, growth in explained.items()
        if now[what] > old[what] + growth
    ]
    if now["bytes"] > old["bytes"] * 1.5:
        found.append(f"bytes {old['bytes']:.0f}, then {now['bytes']:.0f}")
    return found


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(2**32))
    parser.add_argument("--hold", type=float, default=3, help="seconds that a fault lasts at most")
    parser.add_argument("--rate", type=float, default=100, help="events a second")
    parser.add_argument("--tasks", type=int, default=3)
    parser.add_argument("--clients", type=int, default=40)
    parser.add_argument("--mixed", action="store_true", help="clients change between all ways to listen")
    parser.add_argument(
        "--only", action="append", default=[], choices=sorted(FAULTS), help="may be given several times"
    )
    given = parser.parse_args()
    report = asyncio.run(
        chaos(
            seed=given.seed,
            seconds=given.seconds,
            hold=given.hold,
            names=given.only,
            tasks=given.tasks,
            users=given.clients // 2,
            mixed=given.mixed,
            rate=given.rate,
        )
    )
    print(report)
    return 1 if report.violations else 0


if __name__ == "__main__":
    sys.exit(main())
