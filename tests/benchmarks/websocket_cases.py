"""Cases about WebSockets: what an idle one and a delivery cost, beside those of our own event streams."""

from __future__ import annotations

from functools import partial

from tests.benchmarks.bench import Bench
from tests.benchmarks.delivery_cases import WARM, fan
from tests.benchmarks.pinned_process import by_turns
from tests.benchmarks.stream_cases import growth
from tests.benchmarks.table import Row, median

MEMORY_RATIO = 1.5
DELIVERY_RATIO = 1.3


def memory(bench: Bench) -> list[Row]:
    """Memory of an idle socket, next to an idle stream."""
    sockets = bench.size.many
    found = []
    for path in ("/ws", "/events"):
        with bench.driven() as (server, _), bench.ours(server, sockets, path=path) as load:
            found += growth(bench, server, load, (sockets,))
    name = f"memory of one of {sockets:,} idle WebSockets"
    return [Row(name, "kB", *found, than="an idle stream", bar=MEMORY_RATIO)]


def fanout(bench: Bench) -> list[Row]:
    """Broadcasts to sockets, next to the same to streams."""
    size = bench.size
    streams, count = size.few, size.broadcasts // size.turns
    with (
        bench.driven() as (sockets_of, sockets_control),
        bench.ours(sockets_of, streams, path="/ws") as sockets_load,
        bench.driven() as (streams_of, streams_control),
        bench.ours(streams_of, streams) as streams_load,
    ):
        sides = ((sockets_of, sockets_control, sockets_load), (streams_of, streams_control, streams_load))
        measured = []
        for server, control, load in sides:
            bench.open(load, 0, streams)
            measured.append((server, partial(fan, load, server, control, "/all", streams=streams, count=count)))
        turns = by_turns(size.turns, *measured)
        for _, _, load in sides:
            load("check", 0, streams, 0, size.turns * (WARM + count))
    name, than = f"CPU per delivery, {streams:,} WebSockets", "streams"
    return [median([Row(name, "µs", ours.us, theirs.us, than, DELIVERY_RATIO) for ours, theirs in turns])]
