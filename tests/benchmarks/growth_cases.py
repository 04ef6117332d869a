"""What open streams cost by themselves, and whether an event costs more where there are many."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from functools import partial

from tests.benchmarks.bench import Bench
from tests.benchmarks.delivery_cases import BATCH, CAUGHT_UP, Spent, Unicast, spent
from tests.benchmarks.http_messages import call
from tests.benchmarks.load import Load
from tests.benchmarks.pinned_process import PinnedProcess, by_turns
from tests.benchmarks.table import Row, median

IDLE_US = 0.5
FLOW = 20
"""Events a second for each user."""
GROWTH_RATIO = 1.05


def growth(bench: Bench) -> list[Row]:
    """The same events with few streams and with as many as possible, and events for users without a stream.

    What idle streams cost is measured alone, then with a flow of events, and is not part of the other figures.
    """
    size = bench.size
    count, beside = size.events // size.turns, f"with {size.few:,} streams"
    with ExitStack() as stack:
        empty, _ = stack.enter_context(bench.driven())
        small, small_control = stack.enter_context(bench.driven())
        few = stack.enter_context(bench.ours(small, size.few))
        large, large_control = stack.enter_context(bench.driven())
        most = stack.enter_context(bench.ours(large, bench.most))
        bench.open(few, 0, size.few)
        bench.open(most, 0, bench.most)
        rows = _idle(bench, empty, ((small, few, size.few), (large, most, bench.most)))
        sent = size.few * FLOW * size.interval
        flows = _flows(((small, small_control, few), (large, large_control, most)), users=size.few, count=sent)
        name = (
            f"CPU per event, {FLOW} a second for each of {size.few:,} users, {bench.most:,} streams, idle work included"
        )
        rows.append(Row(name, "µs", flows.us(sent, 1), flows.us(sent), beside, GROWTH_RATIO))
        to_few = Unicast(few, small_control, small, users=size.few, count=count, had=sent // size.few)
        to_most = Unicast(most, large_control, large, users=size.few, count=count, had=sent // size.few)
        turns = by_turns(
            size.turns,
            (small, partial(_caught_up, to_few)),
            (large, partial(_caught_up, to_most)),
            (large, partial(_caught_up, to_most.for_nobody)),
        )
        few("check", 0, size.few, to_few.had, 0)
        most("check", 0, size.few, to_most.had, 0)
        most("check", size.few, bench.most - size.few, 0, 0)
    name = f"CPU per event, {bench.most:,} streams"
    bursts = [
        (
            Row(name, "µs", at_most.us(count), at_few.us(count), beside),
            Row("CPU per event for nobody here", "µs", nobody.us(count), at_most.us(count), "for somebody"),
        )
        for at_few, at_most, nobody in turns
    ]
    return [*rows, *map(median, zip(*bursts, strict=True))]


def _idle(bench: Bench, empty: PinnedProcess, ours: Sequence[tuple[PinnedProcess, Load, int]]) -> list[Row]:
    """What idle streams cost in a whole interval, in which each gets a heartbeat. Nchan sends pings as often."""
    interval = bench.size.interval
    with ExitStack() as stack:
        servers, loads = [empty, *(server for server, _, _ in ours)], [load for _, load, _ in ours]
        if bench.nchan:
            servers.append(stack.enter_context(bench.nginx(pings=interval)))
            loads.append(stack.enter_context(bench.theirs(servers[-1], bench.most, "/own")))
            bench.open(loads[-1], 0, bench.most)
        for load in loads:
            # The clients must not fall asleep between two seconds.
            load("awake", 2_000)
        with spent(*servers) as idle:
            time.sleep(interval)
    figures = [
        (idle.seconds[number] - idle.seconds[0]) / interval / streams * 1e6
        for number, (_, _, streams) in enumerate(ours, 1)
    ]
    rows = [
        Row(f"CPU in a second of each of {streams:,} idle streams", "µs", figure, bar=IDLE_US)
        for (_, _, streams), figure in zip(ours, figures, strict=True)
    ]
    if bench.nchan:
        theirs = idle.seconds[-1] / interval / bench.most * 1e6
        rows.append(Row(f"the same beside Nchan's pings, {bench.most:,}", "µs", figures[-1], theirs, "Nchan"))
    return rows


def _flows(both: Sequence[tuple[PinnedProcess, int, Load]], *, users: int, count: int) -> Spent:
    """Publish events round robin at a rate, to two servers at the same time, and wait until all have arrived.

    One after the other would not do: from one interval to the next, machines change by more than the bar.
    """

    def flow(control: int, load: Load) -> None:
        call(control, "/flow", users=users, count=count, per_second=FLOW * users, batch=BATCH)
        load("await", 0, users, count // users, 60)

    with spent(*(server for server, _, _ in both)) as used, ThreadPoolExecutor() as pool:
        for done in [pool.submit(flow, control, load) for _, control, load in both]:
            done.result()
    return used


def _caught_up(publish: Callable[[], Spent]) -> Spent:
    """Publish after the overdue heartbeats and before the next ones."""
    time.sleep(CAUGHT_UP)
    return publish()
