"""Attacks by reconnecting: many clients at once, or to a long history that is read slowly."""

from __future__ import annotations

import asyncio
import socket
import time
from contextlib import suppress

from tests.faults.attack_target import Outcome, Target
from tests.faults.raw_clients import Peer, Stream, connect, connect_all, request
from tests.integration.until import until

PATIENCE = 180.0
"""Seconds within which all clients must be served. An overloaded service sends a client away for up to a minute."""


class _Counting(Stream):
    """Checks that events are numbered from 1."""

    __slots__ = ("bad", "number")

    def __init__(self, payload: bytes, number: int = 0) -> None:
        super().__init__(payload)
        self.number = number
        self.bad = ""

    def event(self, kind: str, data: str) -> None:
        if kind == "stream.gap":
            self.bad = f"a gap: {data}"
        elif not kind.startswith("stream."):
            number = int(data.partition(" ")[0])
            if number != self.number + 1:
                self.bad = f"{number} after {self.number}"
            self.number = number


class _Returning(_Counting):
    """Sets ``over`` when it has all events, or when the connection ends."""

    __slots__ = ("events", "over")

    def __init__(self, payload: bytes, number: int, events: int) -> None:
        super().__init__(payload, number)
        self.events = events
        self.over: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def event(self, kind: str, data: str) -> None:
        super().event(kind, data)
        if self.bad or self.number == self.events:
            self._report()

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        self._report()

    def _report(self) -> None:
        if not self.over.done():
            self.over.set_result(None)


async def storm(target: Target, outcome: Outcome) -> None:
    """Streams of many users come back at once, each with events to replay, and obey the service's ``retry``."""
    users, each, events = target.count(250), 20, 20
    tokens = [target.token(f"storm {number}") for number in range(users)]
    seeds = [_Counting(request(token)) for token in tokens]
    await connect_all(target.port, seeds)
    await until(lambda: all(seed.ready for seed in seeds), seconds=PATIENCE, every=0.1)
    cursors = [seed.last_id for seed in seeds]
    await target.publish(
        (f"storm {user}", f"{number} {'x' * 200}") for number in range(1, events + 1) for user in range(users)
    )
    await until(lambda: all(seed.number == events for seed in seeds), seconds=PATIENCE, every=0.1)
    for seed in seeds:
        seed.leave()
    # The service needs a moment to notice. A stream that it still counts could exceed the user's limit.
    await asyncio.sleep(1)
    outcome.begin()
    began = time.monotonic()
    came: list[Stream] = []
    turned_away = 0

    async def come_back(token: str, cursor: str) -> None:
        nonlocal turned_away
        number = 0
        while time.monotonic() < began + PATIENCE:
            stream = _Returning(request(token, last_id=cursor), number, events)
            await connect(target.port, stream)
            if not stream.end:
                with suppress(TimeoutError):
                    await asyncio.wait_for(stream.over, PATIENCE)
            outcome.wrong += [stream.bad] if stream.bad else []
            if stream.bad or stream.number == events:
                came.append(stream)
                return
            turned_away += 1
            cursor, number = stream.last_id or cursor, stream.number
            await asyncio.sleep(stream.retry)
        outcome.wrong.append(f"a stream got {number} of {events} events")

    await asyncio.gather(
        *(come_back(token, cursor) for token, cursor in zip(tokens, cursors, strict=True) for _ in range(each))
    )
    took = time.monotonic() - began
    outcome.sent = f"{users * each} streams of {users} users, {events} events each, at once"
    outcome.answers.update({"complete": len(came), "sent away for a while": turned_away})
    outcome.notes.append(f"all complete after {took:.1f} s")
    if len(came) != users * each:
        outcome.wrong.append(f"{len(came)} of {users * each} were served")
    for stream in came:
        stream.leave()


class _Slow(_Counting):
    """Reads a little ten times a second, until ``fast`` is set."""

    __slots__ = ("fast",)

    def __init__(self, payload: bytes) -> None:
        super().__init__(payload)
        self.fast = False

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        if not self.fast and self.transport is not None:
            self.transport.pause_reading()
            asyncio.get_running_loop().call_later(0.1, self._go_on)

    def _go_on(self) -> None:
        if self.transport is not None and not self.transport.is_closing():
            self.transport.resume_reading()


async def backlog(target: Target, outcome: Outcome) -> None:
    """One user with a long history, which all streams of the user replay while they read slowly."""
    events = target.count(10_000)
    token = target.token("backlog")
    seed = _Counting(request(token))
    await connect(target.port, seed)
    await until(lambda: seed.ready, seconds=PATIENCE, every=0.1)
    await target.publish(("backlog", f"{number} {'x' * 300}") for number in range(1, events + 1))
    await until(lambda: seed.number == events, seconds=PATIENCE, every=0.1)
    seed.leave()
    streams = [_Slow(request(token, path="/events?since=all")) for _ in range(20)]
    outcome.sent = f"{len(streams)} streams of one user, {events} events each, read slowly"
    outcome.begin()
    for stream in streams:
        await _connect_with_a_small_window(target.port, stream)
    await asyncio.sleep(target.seconds)
    slow = sum(stream.number for stream in streams) / len(streams)
    for stream in streams:
        stream.fast = True
    await until(
        lambda: all(stream.number == events or stream.bad or stream.end for stream in streams),
        seconds=PATIENCE,
        every=0.1,
    )
    outcome.note(streams)
    outcome.expect("200")
    outcome.notes.append(f"{slow:.0f} events each while they read slowly")
    outcome.wrong += [f"a slow stream saw {stream.bad}" for stream in streams if stream.bad]
    outcome.wrong += [f"a slow stream got {stream.number} of {events}" for stream in streams if stream.number != events]
    for stream in streams:
        stream.leave()


async def _connect_with_a_small_window(port: int, peer: Peer) -> None:
    loop = asyncio.get_running_loop()
    sock = socket.socket()
    # Set it before connecting, because the window is negotiated then.
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 8192)
    sock.setblocking(False)
    await loop.sock_connect(sock, ("127.0.0.1", port))
    await loop.create_connection(lambda: peer, sock=sock)
