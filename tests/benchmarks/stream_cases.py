"""Cases about streams themselves: the cost of an idle one, of opening one, and of many that come back at once."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from threading import Thread

from tests.benchmarks.bench import Bench
from tests.benchmarks.delivery_cases import BATCH, spent
from tests.benchmarks.http_messages import call
from tests.benchmarks.load import Load
from tests.benchmarks.pinned_process import PinnedProcess, by_turns
from tests.benchmarks.table import Row, median

IDLE_KB = 7
OPEN_RATIO = 0.45
HEARTBEAT = 2
"""Seconds; short, so that several are due during a storm."""
LATE = 0.5
"""Seconds that a heartbeat may be late."""
STORM_MS = 250
EACH = 20
"""Events that each stream of the storm has missed."""
ABREAST = 1_000
"""Connections of the storm that wait for an answer at the same time."""


def memory(bench: Bench) -> list[Row]:
    """Memory of an idle, authenticated stream, next to Nchan's."""
    size = bench.size
    steps = (size.many, bench.most)
    with bench.driven() as (server, _), bench.ours(server, bench.most) as load:
        ours = growth(bench, server, load, steps)
    theirs: list[float] = []
    if bench.nchan:
        with bench.nginx() as server, bench.theirs(server, bench.most, "/own") as load:
            theirs = growth(bench, server, load, steps)
    rows = []
    for number, streams in enumerate(steps):
        # The bar is in kilobytes; the figure of Nchan is for comparison.
        rows.append(Row(f"memory of one of {streams:,} idle streams", "kB", ours[number], bar=IDLE_KB))
        if theirs:
            rows.append(Row(f"the same beside Nchan, {streams:,}", "kB", ours[number], theirs[number], "Nchan"))
    return rows


def growth(bench: Bench, server: PinnedProcess, load: Load, steps: tuple[int, ...]) -> list[float]:
    """Kilobytes per stream, at each number of open streams."""
    before, found, opened = server.memory(), [], 0
    for streams in steps:
        bench.open(load, opened, streams - opened)
        opened = streams
        found.append((server.memory() - before) / streams / 1000)
    return found


def opening(bench: Bench) -> list[Row]:
    """Open streams, a few at a time, next to the textbook app."""
    size = bench.size
    count, streams = size.opened // size.turns, size.opened
    with (
        bench.driven() as (ours, _),
        bench.ours(ours, streams) as our_load,
        bench.textbook() as theirs,
        bench.theirs(theirs, streams) as their_load,
    ):
        measured = [
            (server, partial(cpu_of_opening, bench, load, server, count, iter(range(0, streams, count))))
            for server, load in ((ours, our_load), (theirs, their_load))
        ]
        turns = by_turns(size.turns, *measured)
    name, than = "CPU of opening a stream", "textbook sse-starlette"
    return [median([Row(name, "µs", our_us, their_us, than, OPEN_RATIO) for our_us, their_us in turns])]


def cpu_of_opening(bench: Bench, load: Load, server: PinnedProcess, count: int, firsts: Iterator[int]) -> float:
    """Open the next streams; return the CPU time of each in microseconds, with the work that follows at once."""
    with spent(server) as used:
        bench.open(load, next(firsts), count, abreast=20)
    return used.us(count)


def storm(bench: Bench) -> list[Row]:
    """Many streams come back at once with events to replay, while others get live events or wait for heartbeats."""
    size = bench.size
    away, others, quiet = size.opened, size.others * 2, size.others
    sent = others * 2 * size.seconds
    with (
        bench.driven(heartbeat_seconds=str(HEARTBEAT)) as (server, control),
        bench.ours(server, away + others + quiet) as load,
    ):
        bench.open(load, 0, away + others + quiet)
        load("leave", 0, away)
        call(control, "/prepare", first=0, users=away, count=away * EACH)
        call(control, "/go", batch=BATCH)
        load("watch", away, others)
        load("reset")
        with paced(control, first=away, users=others, count=sent, per_second=others * 2):
            began = time.monotonic()
            load("open", 0, away, ABREAST)
            load("await", 0, away, EACH, 60)
            served = time.monotonic() - began
        load("await", away, others, sent // others, 30)
        own, silence = load("figures")["own"], load("silence", away + others, quiet)["seconds"]
        load("check", 0, away, EACH, 0)
        load("check", away, others, sent // others, 0)
        load("check", away + others, quiet, 0, 0)
    return [
        Row(f"until {away:,} have their {EACH} events each", "s", served),
        Row("others' live events meanwhile, p99", "ms", own["p99"] / 1000, bar=STORM_MS),
        Row("others' live events meanwhile, most", "ms", own["max"] / 1000),
        Row(f"longest silence with a heartbeat of {HEARTBEAT} s", "s", silence, bar=HEARTBEAT + LATE),
    ]


@contextmanager
def paced(control: int, **query: int) -> Iterator[None]:
    """Publish events at a rate, from half a second before the block until all were published."""
    pacing = Thread(target=call, args=(control, "/pace"), kwargs=query)
    pacing.start()
    time.sleep(0.5)
    try:
        yield
    finally:
        pacing.join()
