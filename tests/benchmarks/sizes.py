"""Measures what tasks of Fargate sizes can handle, with CPU quotas like theirs: ``python -m tests.benchmarks.sizes``.

Fails if an event was lost, doubled, out of order or shown to another user, or a stream was refused or cut. No figure
has a bar.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict, replace
from itertools import chain
from pathlib import Path
from typing import Any

from tests.benchmarks.bench import FULL, SMALL, Bench
from tests.benchmarks.capacity import TARGET, TRIES, Capacity, measure_capacity
from tests.benchmarks.load import build
from tests.benchmarks.peers import MissingError
from tests.benchmarks.pinned_process import stolen
from tests.benchmarks.quota import NoQuotaError, Quota
from tests.benchmarks.run import machine

SIZES = (0.25, 0.5, 1.0)
# With fewer users, a user's next event would be in the next receive, which may overtake the one before.
FEW = replace(SMALL, many=400, most=400, events=2_000)
STREAMS = (
    "| Fargate task | streams | opened in | memory | a broadcast at the last | all back after |",
    "|---|---:|---:|---:|---:|---:|",
)
LARGER = "| 2 or 4 vCPU | as 1 vCPU: take more tasks | | | | |"
EVENTS = (
    "| Fargate task | events for single users | a second | delay, median | p99 | quota used | periods throttled "
    "| in one receive |",
    "|---|---|---:|---:|---:|---:|---:|---:|",
)


def name(found: Capacity) -> str:
    """The name of the size."""
    return f"{found.cpus:g} vCPU"


def streams(found: Capacity) -> str:
    """A line of the first table."""
    return (
        f"| {name(found)} | {found.streams:,} | {found.opened_s:.1f} s | {found.memory_mb:.0f} MB "
        f"| {found.broadcast_ms:.0f} ms | {found.back_s:.1f} s |"
    )


def events(found: Capacity) -> list[str]:
    """Lines of the second table."""
    most = found.most or found.tried[-1]
    trials = {
        "most" if found.most else "NOT held, no lower was tried": most,
        f"{TARGET:.0%} of the most": found.part,
        f"{TARGET:.0%} of the quota": found.target,
    }
    return [
        f"| {name(found)} | {what} | {trial.per_second:,.0f} | {trial.p50_ms:.1f} ms | {trial.p99_ms:.0f} ms "
        f"| {trial.quota:.0%} | {trial.throttled:.0%} | {trial.received:.1f} |"
        for what, trial in trials.items()
    ]


def note(found: Capacity) -> str:
    """Say whether the load generator was the limit; then the figure is not the task's."""
    share = max(trial.load_core for trial in found.tried)
    if found.load_limits:
        return (
            f"{name(found)}: the load took {share:.0%} of its core and may be the limit: a task carries this or more."
        )
    return f"{name(found)}: the load took {share:.0%} of its core at most, and was not the limit."


def measure(bench: Bench, cpus: float, seconds: int, tries: int) -> tuple[Capacity, dict[str, Any]]:
    """Measure one size; return its figures and facts about the run."""
    began, stole = time.monotonic(), stolen()
    found = measure_capacity(bench, cpus, seconds=seconds, tries=tries)
    faults, took = {name: count for name, count in bench.faults.items() if count}, time.monotonic() - began
    bench.faults.clear()
    about = {
        "faults": faults,
        "seconds": round(took, 1),
        "stolen": round((stolen() - stole) / 2 / took, 3),
        "load": os.getloadavg()[0],
    }
    print(f"{cpus:g} vCPU: {took:.0f} s, faults: {faults or 'none'}", file=sys.stderr)
    return found, about


def main(argv: Sequence[str] | None = None) -> int:
    """Return the exit status: 0, 1 if there were faults, 2 if something is missing."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", type=Path, metavar="FILE", help="append a line for each size")
    parser.add_argument("--seconds", type=int, help="that a rate must be held: 10, or 1 with --small")
    parser.add_argument("--small", action="store_true", help="few streams and rates: for faults, not for figures")
    given = parser.parse_args(argv)
    size, seconds, tries = (FEW, given.seconds or 1, 2) if given.small else (FULL, given.seconds or 10, TRIES)
    runs = []
    with tempfile.TemporaryDirectory(prefix="benchmarks-") as folder:
        try:
            with Quota(1):
                program = build(Path(folder))
        except (NoQuotaError, MissingError) as missing:
            print(missing, file=sys.stderr)
            return 2
        bench = Bench(Path(folder), program, size=size)
        for cpus in SIZES:
            found, about = measure(bench, cpus, seconds, tries)
            runs.append((found, about))
            if given.json:
                with given.json.open("a") as file:
                    file.write(json.dumps({**asdict(found), **about, "machine": machine()}) + "\n")
    sizes = [found for found, _ in runs]
    print(*STREAMS, *map(streams, sizes), LARGER, "", *EVENTS, *chain.from_iterable(map(events, sizes)), sep="\n")
    print("", *map(note, sizes), sep="\n")
    return 1 if any(about["faults"] for _, about in runs) else 0


if __name__ == "__main__":
    # Ends the started processes too.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    sys.exit(main())
