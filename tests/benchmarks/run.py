"""Measures cases and prints a table; fails if an event was lost, doubled, out of order or shown to another user.

``python -m tests.benchmarks.run fanout unicast --runs 5 --json out.jsonl --plot out.svg`` measures two cases; without
names it measures all. A missed bar is reported, but is no failure: machines differ.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path
from typing import Any

from tests.benchmarks import (
    delivery_cases,
    growth_cases,
    identity_cases,
    peers,
    poll_cases,
    queue_cases,
    stream_cases,
    valkey_cases,
    websocket_cases,
)
from tests.benchmarks.bench import FULL, SMALL, Bench
from tests.benchmarks.load import build
from tests.benchmarks.pinned_process import LOAD_CORE, SERVER_CORE, stolen
from tests.benchmarks.plot import plot
from tests.benchmarks.table import HEAD, Row, line, median

CASES: dict[str, Callable[[Bench], list[Row]]] = {
    "fanout": delivery_cases.fanout,
    "unicast": delivery_cases.one_to_each,
    "memory": stream_cases.memory,
    "open": stream_cases.opening,
    "polls": poll_cases.polls,
    "identity": identity_cases.identity,
    "storm": stream_cases.storm,
    "websocket-memory": websocket_cases.memory,
    "websocket-fanout": websocket_cases.fanout,
    "latency": queue_cases.latency,
    "chain": queue_cases.chain,
    "growth": growth_cases.growth,
    "valkey": delivery_cases.valkey,
    "valkey-server": valkey_cases.valkey_server,
    "subscribe": delivery_cases.subscribe,
}


def machine() -> dict[str, Any]:
    """Describe the machine."""
    names = (line.partition(": ")[2] for line in Path("/proc/cpuinfo").read_text().splitlines() if "model name" in line)
    packages = ("uvicorn", "uvloop", "httptools", "starlette", "sse-starlette", "aiobotocore", "orjson")
    return {
        "processor": next(names, platform.machine()),
        "cores": os.cpu_count(),
        "server_core": SERVER_CORE,
        "load_core": LOAD_CORE,
        "kernel": platform.release(),
        "python": platform.python_version(),
        **{name: version(name) for name in packages},
    }


def measure(bench: Bench, case: str) -> dict[str, Any]:
    """Run a case once."""
    began, stole = time.monotonic(), stolen()
    rows = CASES[case](bench)
    faults, seconds = {name: count for name, count in bench.faults.items() if count}, time.monotonic() - began
    bench.faults.clear()
    return {
        "case": case,
        "rows": rows,
        "faults": faults,
        "seconds": round(seconds, 1),
        "stolen": round((stolen() - stole) / 2 / seconds, 3),
        "load": os.getloadavg()[0],
    }


def written(run: dict[str, Any]) -> str:
    """A run as a line of JSON."""
    rows = [{**asdict(row), "used": row.used} for row in run["rows"]]
    return json.dumps({**run, "rows": rows, "machine": machine()}) + "\n"


def main(argv: Sequence[str] | None = None) -> int:
    """Return the exit status: 0, 1 if a case had faults, 2 if something is not installed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("cases", nargs="*", metavar="CASE", help=" ".join(CASES))
    parser.add_argument("--runs", type=int, default=5, help="of which the medians are shown")
    parser.add_argument("--json", type=Path, help="append a line for each run of a case")
    parser.add_argument("--plot", type=Path, help="draw an SVG")
    parser.add_argument("--without-nchan", action="store_true", help="leave out what needs nginx with Nchan")
    parser.add_argument("--small", action="store_true", help="few streams and events: for faults, not for figures")
    given = parser.parse_args(argv)
    if unknown := set(given.cases) - set(CASES):
        parser.error(f"no such case: {', '.join(sorted(unknown))}")
    cases = given.cases or [*CASES]
    runs: dict[str, list[dict[str, Any]]] = {case: [] for case in cases}
    with tempfile.TemporaryDirectory(prefix="benchmarks-") as folder:
        try:
            if not given.without_nchan:
                peers.nginx()
            program = build(Path(folder))
        except peers.MissingError as missing:
            print(missing, file=sys.stderr)
            return 2
        bench = Bench(Path(folder), program, size=SMALL if given.small else FULL, nchan=not given.without_nchan)
        # All cases, then all again: a disturbance of the machine does not affect one case alone.
        for number in range(given.runs):
            for case in cases:
                run = measure(bench, case)
                runs[case].append(run)
                print(
                    f"run {number + 1} of {case}: {run['seconds']} s, faults: {run['faults'] or 'none'}",
                    file=sys.stderr,
                )
                if given.json:
                    with given.json.open("a") as file:
                        file.write(written(run))
    rows = [(case, median(same)) for case in cases for same in zip(*(run["rows"] for run in runs[case]), strict=True)]
    print(HEAD, *(line(case, row) for case, row in rows), sep="\n")
    if given.plot:
        given.plot.write_text(plot(rows))
    return 1 if any(run["faults"] for case in cases for run in runs[case]) else 0


if __name__ == "__main__":
    # Ends the started processes too.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    sys.exit(main())
