"""Compares the ways to listen: the same service, clients and events; only how the clients ask differs.

``python -m tests.benchmarks.comparison --write`` measures all ways once (11 minutes), and writes the figures into
``comparison.json``, and from there into the documentation and its plots. ``--runs 3`` takes the medians of three.
``--json FILE`` keeps the runs; ``--from FILE`` measures nothing and takes those. Without ``--write`` it prints only.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

from tests.benchmarks import comparison_page
from tests.benchmarks.bench import FULL, SMALL, Bench
from tests.benchmarks.http_messages import call
from tests.benchmarks.load import Load, build
from tests.benchmarks.payloads import payload
from tests.benchmarks.peers import MissingError
from tests.benchmarks.pinned_process import PinnedProcess, stolen
from tests.benchmarks.run import machine
from tests.benchmarks.ways import WAYS, Way

AWAKE_MS = 1_000
"""The clients never sleep: the service must not pay for waking them, which is a matter of one machine."""
NOBODY = "nobody listens"
QUIET = 20
"""Seconds, twice, in which the service is measured while nobody listens."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rate:
    """How many events are sent."""

    per_second: int = 50
    """For one user each, in turn."""
    every: float = 20
    """Seconds between two broadcasts."""
    first: float = 15
    """Seconds from the first event to the first broadcast."""

    def broadcasts(self, seconds: float) -> int:
        """How many there are in this time from the beginning on."""
        return max(0, int((seconds - self.first) // self.every) + 1)


class Comparison:
    """Measures ways with the same load."""

    def __init__(self, bench: Bench, program: Path, rate: Rate, *, awake_ms: int, quiet: float) -> None:
        """``program`` is the built ``listeners.c``."""
        self._bench, self._program, self._rate = bench, program, rate
        self._awake_ms, self._quiet = awake_ms, quiet
        self._users = bench.size.few
        bench.tokens(max(bench.size.few, bench.size.opened))

    def nobody(self) -> dict[str, float]:
        """Measure the service while nobody listens: the CPU of a second, and of sending an event to a user away."""
        rate = self._rate.per_second
        count = round(rate * self._quiet)
        with self._bench.driven() as (server, control):
            time.sleep(self._bench.size.settle)
            before = server.cpu()
            time.sleep(self._quiet)
            cpu = (server.cpu() - before) / self._quiet
            before = server.cpu()
            call(control, "/pace", first=0, users=self._users, count=count, per_second=rate)
            spent = server.cpu() - before - cpu * self._quiet
        return {"cpu": cpu, "publish_us": spent / count * 1e6}

    def measure(self, way: Way, empty: float) -> dict[str, float]:
        """Measure a way; ``empty`` is the CPU of a second while nobody listens."""
        users, rate, seconds = self._users, self._rate, way.warm + way.window
        kilobytes = self._memory(way)
        with self._bench.driven() as (server, control), self._listeners(server, way, users) as load:
            load("open", 0, users, 100)
            if way.polls:
                load("poll", round(way.interval * 1000), way.wait)
            time.sleep(self._bench.size.settle)
            with _counted(server, load) as idle:
                time.sleep(way.idle)
            load("reset")
            busy = self._publish(server, control, load, way)
            # Not all users have as many events, if the time is no multiple of a round.
            rounds, rest = divmod(round(rate.per_second * seconds), users)
            for first, count, each in ((0, rest, rounds + 1), (rest, users - rest, rounds)):
                load("await", first, count, each, rate.broadcasts(seconds), way.patience)
                load("check", first, count, each, rate.broadcasts(seconds))
            delays = load("figures")
            self._bench.faults.update(load("faults"))
        # In the long run as many arrive as are sent, also where the last of them wait for a poll.
        events = rate.per_second * way.window + users * (rate.broadcasts(seconds) - rate.broadcasts(way.warm))
        of_client = users * idle["seconds"]
        return {
            "p50_ms": delays["own"]["p50"] / 1000,
            "p99_ms": delays["own"]["p99"] / 1000,
            "broadcast_p50_ms": delays["all"]["p50"] / 1000,
            "broadcast_max_ms": delays["all"]["max"] / 1000,
            "requests": busy["requests"] / events,
            "sent": busy["sent"] / events,
            "received": busy["received"] / events,
            "cpu_us": (busy["server"] - empty * busy["seconds"]) / events * 1e6,
            "idle_requests": idle["requests"] / of_client,
            "idle_sent": idle["sent"] / of_client,
            "idle_received": idle["received"] / of_client,
            "idle_cpu_us": (idle["server"] - empty * idle["seconds"]) / of_client * 1e6,
            "memory_kb": kilobytes,
            "head": delays["head"],
            "connections": busy["connections"] / events,
            "skipped": delays["skipped"],
            "load_core": busy["work"] / busy["seconds"],
        }

    def _memory(self, way: Way) -> float:
        """Kilobytes of an idle client. The first clients are not in it: with them the service's code warms up."""
        size = self._bench.size
        first, more = size.few, size.opened - size.few
        with self._bench.driven() as (server, _), self._listeners(server, way, size.opened) as load:
            load("open", 0, first, 100)
            if way.wait:
                load("poll", 0, way.wait)
            time.sleep(size.settle)
            before = server.memory()
            load("open", first, more, 100)
            time.sleep(size.settle)
            found = (server.memory() - before) / more / 1000
            self._bench.faults.update(load("faults"))
        return found

    def _publish(self, server: PinnedProcess, control: int, load: Load, way: Way) -> dict[str, float]:
        """Send events for the whole time, and count in the window."""
        seconds, rate = way.warm + way.window, self._rate
        count, broadcasts = round(rate.per_second * seconds), rate.broadcasts(seconds)

        def broadcast(number: int) -> None:
            call(control, "/all", payload(time.monotonic_ns(), number, -1).encode())

        pace = partial(call, control, "/pace", first=0, users=self._users, count=count, per_second=rate.per_second)
        with ThreadPoolExecutor(2) as threads:
            began = time.monotonic()
            moments = [began + rate.first + number * rate.every for number in range(broadcasts)]
            sending = [threads.submit(pace), threads.submit(_at, moments, broadcast)]
            time.sleep(way.warm)
            with _counted(server, load) as found:
                time.sleep(max(0.0, began + seconds - time.monotonic()))
            for sent in sending:
                sent.result()
        return found

    @contextmanager
    def _listeners(self, server: PinnedProcess, way: Way, users: int) -> Iterator[Load]:
        with Load(self._program, server.port, way.lines(server.port, self._bench.tokens(users))) as load:
            load("awake", self._awake_ms)
            yield load


@contextmanager
def _counted(server: PinnedProcess, load: Load) -> Iterator[dict[str, float]]:
    """What server and clients do in the block."""
    found: dict[str, float] = {}
    before, cpu, began = load("figures"), server.cpu(), time.monotonic()
    yield found
    found["seconds"], found["server"] = time.monotonic() - began, server.cpu() - cpu
    after = load("figures")
    found |= {name: after[name] - before[name] for name in ("requests", "connections", "sent", "received", "work")}


def _at(moments: Sequence[float], act: Callable[[int], None]) -> None:
    for number, moment in enumerate(moments):
        time.sleep(max(0.0, moment - time.monotonic()))
        act(number)


def run(comparison: Comparison, bench: Bench, ways: Sequence[Way], *, abreast: int) -> dict[str, Any]:
    """Measure all ways once; ``abreast`` at a time, where no figure is judged."""
    began, stole = time.monotonic(), stolen()
    empty = comparison.nobody()

    def measure(way: Way) -> dict[str, float]:
        started = time.monotonic()
        found = comparison.measure(way, empty["cpu"])
        print(f"{way.name}: {time.monotonic() - started:.0f} s", file=sys.stderr)
        return found

    with ThreadPoolExecutor(abreast) as threads:
        found = {NOBODY: empty, **dict(zip((way.name for way in ways), threads.map(measure, ways), strict=True))}
    seconds = time.monotonic() - began
    faults = {name: count for name, count in bench.faults.items() if count}
    print(f"faults: {faults or 'none'}", file=sys.stderr)
    bench.faults.clear()
    return {
        "found": found,
        "faults": faults,
        "seconds": round(seconds),
        "stolen": round((stolen() - stole) / 2 / seconds, 3),
        "load": os.getloadavg()[0],
        "machine": machine(),
    }


def medians(runs: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """One run in which each figure is the median of the runs'."""
    found = {
        name: {figure: statistics.median(run["found"][name][figure] for run in runs) for figure in figures}
        for name, figures in runs[0]["found"].items()
    }
    return {
        "found": {name: {figure: _round(value) for figure, value in same.items()} for name, same in found.items()},
        "runs": len(runs),
        "clients": FULL.few,
        "rate": asdict(Rate()),
        "stolen": max(run["stolen"] for run in runs),
        "machine": runs[-1]["machine"],
    }


def _round(value: float) -> float:
    return float(f"{value:.4g}")


def main(argv: Sequence[str] | None = None) -> int:
    """Return the exit status: 0, 1 if there were faults, 2 if something is missing."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=1, help="of which the medians are shown")
    parser.add_argument("--json", type=Path, metavar="FILE", help="append a line for each run")
    parser.add_argument("--from", type=Path, metavar="FILE", dest="kept", help="take these runs, and measure nothing")
    parser.add_argument("--write", action="store_true", help="write the figures into the documentation")
    parser.add_argument("--small", action="store_true", help="few clients and seconds: for faults, not for figures")
    given = parser.parse_args(argv)
    if given.small and given.write:
        parser.error("the figures of --small mean nothing, and are not written")
    runs: list[dict[str, Any]] = []
    if given.kept:
        runs += map(json.loads, given.kept.read_text().splitlines())
    with tempfile.TemporaryDirectory(prefix="comparison-") as folder:
        try:
            program = build(Path(folder), "listeners")
        except MissingError as missing:
            print(missing, file=sys.stderr)
            return 2
        bench = Bench(Path(folder), program, size=SMALL if given.small else FULL)
        if given.small:
            comparison = Comparison(bench, program, Rate(every=1, first=0.5), awake_ms=0, quiet=0.5)
        else:
            comparison = Comparison(bench, program, Rate(), awake_ms=AWAKE_MS, quiet=QUIET)
        ways = [way.small() if given.small else way for way in WAYS]
        for _ in range(0 if given.kept else given.runs):
            runs.append(run(comparison, bench, ways, abreast=len(ways) if given.small else 1))
            if given.json:
                with given.json.open("a") as file:
                    file.write(json.dumps(runs[-1]) + "\n")
    found = medians(runs)
    print(comparison_page.tables(found))
    if given.write:
        comparison_page.write(found)
    return 1 if any(run["faults"] for run in runs) else 0


if __name__ == "__main__":
    # Ends the started processes too.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    sys.exit(main())
