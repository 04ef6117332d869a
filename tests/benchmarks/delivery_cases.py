"""Cases that publish to the broker: the cost of an event from the broker to the sockets."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from functools import partial
from threading import Thread

from tests.benchmarks.bench import Bench
from tests.benchmarks.http_messages import call
from tests.benchmarks.load import Load
from tests.benchmarks.pinned_process import PinnedProcess, by_turns
from tests.benchmarks.table import Row, median

BATCH = 10
"""Events in one receive."""
WARM = 3
CAUGHT_UP = 0.2
"""Seconds for a server that was paused to send the heartbeats that are overdue."""
OTHERS_MS = 50
"""The longest that a broadcast may delay another user's event."""
NOBODY = 1_000_000
"""The first of the users without a stream."""
BROADCAST, UNICAST = 1.1, 2.5
"""The most that events over Valkey may cost, as multiples of the memory broker's."""
STALL_MS = 10
"""The longest that subscriptions may hold up the event loop."""


@dataclass
class Fan:
    """The cost of a broadcast."""

    us: float
    """CPU per delivery."""
    last_ms: float
    """Time until it reached the last stream, median."""


def fan(load: Load, server: PinnedProcess, port: int, path: str, *, streams: int, count: int) -> Fan:
    """Send broadcasts after a warm-up; each one waits until all streams have the one before."""
    load("broadcast", port, path, WARM, 0)
    with spent(server) as used:
        last = load("broadcast", port, path, count, 0)["last"]
    return Fan(used.us(count * streams), last["p50"] / 1000)


@dataclass
class Spent:
    """CPU seconds that servers used while a block ran."""

    seconds: list[float] = field(default_factory=list)

    def us(self, events: int, server: int = 0) -> float:
        """Microseconds per event."""
        return self.seconds[server] / events * 1e6


@contextmanager
def spent(*servers: PinnedProcess) -> Iterator[Spent]:
    """Measure the servers' CPU time while the block runs."""
    spent = Spent()
    before = [server.cpu() for server in servers]
    yield spent
    spent.seconds = [server.cpu() - was for server, was in zip(servers, before, strict=True)]


class Unicast:
    """Sends events round robin to users with one stream each, as fast as the service accepts them."""

    def __init__(self, load: Load, control: int, *servers: PinnedProcess, users: int, count: int, had: int = 0) -> None:
        """``servers`` are those whose CPU time is measured."""
        self._load, self._control, self._servers, self._users, self._count = load, control, servers, users, count
        self.had = had
        """Events that each user should have received so far."""

    def __call__(self) -> Spent:
        """Publish the events and wait until all have arrived."""
        self.had += self._count // self._users
        call(self._control, "/prepare", first=0, users=self._users, count=self._count)
        with spent(*self._servers) as used:
            call(self._control, "/go", batch=BATCH)
            self._load("await", 0, self._users, self.had, 30)
        return used

    def for_nobody(self) -> Spent:
        """Publish as many events for users without a stream."""
        call(self._control, "/prepare", first=NOBODY, users=self._users, count=self._count)
        with spent(*self._servers) as used:
            call(self._control, "/go", batch=BATCH)
        return used


def fanout(bench: Bench) -> list[Row]:
    """Broadcasts to few and many streams, next to Nchan; and how broadcasts to many delay other users' events."""
    size = bench.size
    return [
        *_fanout(bench, size.few, size.broadcasts // size.turns),
        *_fanout(bench, size.many, max(size.broadcasts // size.turns // 10, 2)),
    ]


def _fanout(bench: Bench, streams: int, count: int) -> list[Row]:
    size = bench.size
    with ExitStack() as stack:
        server, control = stack.enter_context(bench.driven())
        load = stack.enter_context(bench.ours(server, streams + size.others))
        bench.open(load, 0, streams)
        measured = [(server, partial(fan, load, server, control, "/all", streams=streams, count=count))]
        loads = [load]
        if bench.nchan:
            theirs = stack.enter_context(bench.nginx())
            loads.append(stack.enter_context(bench.theirs(theirs, streams, "/all")))
            bench.open(loads[1], 0, streams)
            publish = partial(fan, loads[1], theirs, theirs.port, "/publish", streams=streams, count=count)
            measured.append((theirs, publish))
        rows = [_fan_rows(f"{streams:,} streams", *turn) for turn in by_turns(size.turns, *measured)]
        had = size.turns * (WARM + count)
        for each in loads:
            each("check", 0, streams, 0, had)
        others = _others(bench, load, control, had) if streams == size.many else []
    return [*map(median, zip(*rows, strict=True)), *others]


def _fan_rows(name: str, ours: Fan, theirs: Fan | None = None) -> list[Row]:
    if theirs is None:
        return [Row(f"CPU per delivery, {name}", "µs", ours.us), Row(f"last stream, {name}", "ms", ours.last_ms)]
    return [
        Row(f"CPU per delivery, {name}", "µs", ours.us, theirs.us, "Nchan", 1),
        Row(f"last stream, {name}", "ms", ours.last_ms, theirs.last_ms, "Nchan", 1),
    ]


def _others(bench: Bench, load: Load, control: int, had: int) -> list[Row]:
    """Two broadcasts a second to many streams, which had ``had`` before, while other users get events."""
    size = bench.size
    sent, broadcasts = size.others * size.seconds, size.seconds * 2
    bench.open(load, size.many, size.others)
    load("watch", size.many, size.others)
    load("reset")
    query = {"first": size.many, "users": size.others, "count": sent, "per_second": size.others}
    pacing = Thread(target=call, args=(control, "/pace"), kwargs=query)
    pacing.start()
    load("broadcast", control, "/all", broadcasts, 2)
    pacing.join()
    load("await", size.many, size.others, size.seconds, 30)
    own = load("figures")["own"]
    load("check", 0, size.many, 0, had + broadcasts)
    load("check", size.many, size.others, size.seconds, broadcasts)
    return [
        Row("another user's event meanwhile, p99", "ms", own["p99"] / 1000),
        Row("another user's event meanwhile, most", "ms", own["max"] / 1000, bar=OTHERS_MS),
    ]


def one_to_each(bench: Bench) -> list[Row]:
    """An event for one user, next to one delivery of a broadcast by the same service."""
    size = bench.size
    count, broadcasts = size.events // size.turns, size.broadcasts // size.turns
    with bench.driven() as (server, control), bench.ours(server, size.few) as load:
        bench.open(load, 0, size.few)
        unicast, rows = Unicast(load, control, server, users=size.few, count=count), []
        for _ in range(size.turns):
            wide = fan(load, server, control, "/all", streams=size.few, count=broadcasts)
            rows.append(Row("CPU per event", "µs", unicast().us(count), wide.us, "a broadcast's delivery", 2))
        load("check", 0, size.few, unicast.had, size.turns * (WARM + broadcasts))
    return [median(rows)]


def valkey(bench: Bench) -> list[Row]:
    """History in Valkey next to the memory broker: a broadcast, and events for one user each, delivered or not."""
    size = bench.size
    count, broadcasts = size.events // size.turns, size.broadcasts // size.turns
    with (
        bench.driven() as (plain, plain_control),
        bench.ours(plain, size.few) as plain_load,
        bench.valkey() as (store, url),
        bench.driven(broker_url=url) as (server, control),
        bench.ours(server, size.few) as load,
    ):
        bench.open(plain_load, 0, size.few)
        bench.open(load, 0, size.few)
        wide = by_turns(
            size.turns,
            (plain, partial(fan, plain_load, plain, plain_control, "/all", streams=size.few, count=broadcasts)),
            (server, partial(fan, load, server, control, "/all", streams=size.few, count=broadcasts)),
        )
        plain_unicast = Unicast(plain_load, plain_control, plain, users=size.few, count=count)
        unicast = Unicast(load, control, server, store, users=size.few, count=count)
        turns = by_turns(size.turns, (plain, plain_unicast), (server, unicast), (server, unicast.for_nobody))
        had = size.turns * (WARM + broadcasts)
        plain_load("check", 0, size.few, plain_unicast.had, had)
        load("check", 0, size.few, unicast.had, had)
    than, delivered, published = "memory broker", "published and delivered", "published"
    broadcast = [Row("CPU per broadcast's delivery", "µs", ours.us, plain.us, than, BROADCAST) for plain, ours in wide]
    rows = [
        (
            Row(f"CPU per event, {delivered}", "µs", somebody.us(count), plain.us(count), than, UNICAST),
            Row(f"Valkey's CPU per event, {delivered}", "µs", somebody.us(count, 1)),
            Row(f"CPU per event, {published}", "µs", nobody.us(count)),
            Row(f"Valkey's CPU per event, {published}", "µs", nobody.us(count, 1)),
        )
        for plain, somebody, nobody in turns
    ]
    return [median(broadcast), *map(median, zip(*rows, strict=True))]


def subscribe(bench: Bench) -> list[Row]:
    """Clients come and go, each with a channel of its own in Valkey. The first seconds fill what lingers."""
    size = bench.size
    rate, seconds = size.many, size.seconds
    with bench.valkey() as (_, url), bench.driven(broker_url=url) as (server, control):
        call(control, "/churn", count=rate * seconds, per_second=rate)
        with spent(server) as used:
            found = call(control, "/churn", count=rate * seconds, per_second=rate)
    return [
        Row(f"longest stall at {rate:,} subscriptions a second", "ms", found["stall_ms"], bar=STALL_MS),
        Row("CPU per subscription, made and dropped", "µs", used.us(rate * seconds)),
    ]
