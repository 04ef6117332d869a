"""Cases about polls, beside streams in the same run: the cost of one that waits, and of one that is answered."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager

from sse_service.http import descriptors
from tests.benchmarks.bench import Bench
from tests.benchmarks.delivery_cases import BATCH, spent
from tests.benchmarks.http_messages import call
from tests.benchmarks.pinned_process import PinnedProcess
from tests.benchmarks.stream_cases import growth
from tests.benchmarks.table import Row

WAITING_RATIO = 1.2
WAIT = 50
"""Seconds, which must be enough to open all polls."""
HELD = "since=all"
"""Asks for what is held. Where nothing is, the poll waits."""


def polls(bench: Bench) -> list[Row]:
    """Memory of polls that wait, and CPU of polls that are answered."""
    return [_memory(bench), *_cpu(bench)]


def _memory(bench: Bench) -> Row:
    count = min(bench.size.many, bench.most)
    with bench.driven() as (server, _), bench.ours(server, count) as load:
        [stream_kb] = growth(bench, server, load, (count,))
    with bench.driven() as (server, _), clients(count) as waiting:
        before = server.memory()
        ask(server, waiting, bench.tokens(count), f"{HELD}&wait={WAIT}")
        time.sleep(bench.size.settle)
        poll_kb = (server.memory() - before) / count / 1000
        bench.faults["answered"] += sum(_is_answered(each) for each in waiting)
    than = "an idle stream"
    return Row(f"memory of one of {count:,} polls that wait", "kB", poll_kb, stream_kb, than, WAITING_RATIO)


def _cpu(bench: Bench) -> list[Row]:
    count, rows = bench.size.opened, []
    with bench.driven() as (server, _), bench.ours(server, count) as load, spent(server) as opened:
        bench.open(load, 0, count, abreast=20)
    with bench.driven() as (server, control), clients(count) as asking:
        call(control, "/prepare", first=0, users=count, count=count)
        call(control, "/go", batch=BATCH)
        for connection in ("new", "kept"):
            with spent(server) as used:
                ask(server, asking, bench.tokens(count), HELD)
                for each in asking:
                    answer = _read(each)
                    bench.faults["refused"] += not answer.startswith(b"HTTP/1.1 200 ")
                    bench.faults["lost"] += answer.count(b'"id":') != 1
                time.sleep(bench.size.settle)
            name = f"CPU of a poll on a {connection} connection, answered with one event"
            rows.append(Row(name, "µs", used.us(count), opened.us(count), "opening a stream"))
    return rows


@contextmanager
def clients(count: int) -> Iterator[list[socket.socket]]:
    """Sockets that are not connected yet."""
    descriptors.raise_limit()
    with ExitStack() as stack:
        yield [stack.enter_context(socket.socket()) for _ in range(count)]


def ask(server: PinnedProcess, asking: Sequence[socket.socket], tokens: Sequence[str], query: str) -> None:
    """Send a poll on each socket, and connect those that are not."""
    head = f"GET /events/poll?{query} HTTP/1.1\r\nHost: 127.0.0.1\r\nAccept: application/json\r\nAuthorization: Bearer "
    for each, token in zip(asking, tokens, strict=True):
        if not each.getsockname()[1]:
            each.settimeout(30)
            each.connect(("127.0.0.1", server.port))
        each.sendall(f"{head}{token}\r\n\r\n".encode())


def _is_answered(connection: socket.socket) -> bool:
    connection.setblocking(False)
    try:
        connection.recv(1)
    except BlockingIOError:
        return False
    return True


def _read(connection: socket.socket) -> bytes:
    """Read a whole answer, whose last field is ``more``."""
    answer = b""
    while not answer.endswith((b"false}", b"true}")):
        if not (part := connection.recv(65_536)):
            break
        answer += part
    return answer
