"""Well-behaved streams that detect if an attack affects them: lost events, delays and late heartbeats."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from sse_service.auth.tokens.signing import TokenSigner
from tests.faults.attacked_service import Service
from tests.faults.raw_clients import Stream, connect, request
from tests.integration.chain import SECRET
from tests.integration.process import DEADLINE
from tests.integration.until import until

HEARTBEAT_ALLOWANCE = 2.0
"""Seconds that a heartbeat may be late. The service's timer ticks once a second."""


@dataclass(slots=True)
class Window:
    """The observations of all bystanders during a period."""

    began: float = field(default_factory=time.monotonic)
    delays: list[float] = field(default_factory=list)
    """Seconds from putting an event into the queue to seeing it, for events of this period."""
    silence: float = 0.0
    """The longest silence of any silent stream, in seconds."""

    def delay(self, part: float) -> float:
        """Return the delay within which this share of the events was seen; 0 if there were none."""
        ordered = sorted(self.delays)
        return ordered[min(int(part * len(ordered)), len(ordered) - 1)] if ordered else 0.0


class Bystanders:
    """Streams of users who get numbered events, and of one user who gets no events."""

    def __init__(self, service: Service, *, users: int, streams: int, silent: int, heartbeat: float) -> None:
        self._service = service
        self._tokens = TokenSigner(secret=SECRET)
        self._users = [f"bystander {number}" for number in range(users)]
        self._each = streams
        self._silent = silent
        self._heartbeat = heartbeat
        self.published: Counter[str] = Counter()
        self.window = Window()
        self.wrong: list[str] = []
        """Everything that should not have happened."""
        self._hearing: list[_Hearing] = []
        self._listening: list[_Silent] = []

    def token(self, user: str) -> str:
        return self._tokens.sign(user, ttl_seconds=86_400)

    def __len__(self) -> int:
        return len(self._hearing) + len(self._listening)

    @asynccontextmanager
    async def watching(self, rate: float) -> AsyncIterator[None]:
        """Keep the streams open and publish ``rate`` events a second until the block ends."""
        for user in self._users:
            token = self.token(user)
            self._hearing += [_Hearing(self, user, token) for _ in range(self._each)]
        token = self.token("silent bystander")
        self._listening = [_Silent(self, token) for _ in range(self._silent)]
        streams: list[Stream] = [*self._hearing, *self._listening]
        for stream in streams:
            await connect(self._service.port, stream)
        await until(lambda: all(stream.ready for stream in streams), "all bystanders are ready")
        publishing = asyncio.create_task(self._publish(rate))
        try:
            yield
        finally:
            publishing.cancel()
            await asyncio.gather(publishing, return_exceptions=True)
            for stream in streams:
                stream.leave()

    def begin(self) -> Window:
        """Start a new period, and return the observations of the last one."""
        for stream in self._listening:
            stream.note_silence()
        old, self.window = self.window, Window()
        return old

    async def all_seen(self, seconds: float = DEADLINE) -> None:
        """Wait until all events that were published so far are seen."""
        wanted = dict(self.published)
        for _ in range(int(seconds * 10)):
            late = [w for w in self._hearing if w.number < wanted.get(w.user, 0)]
            if not late:
                return
            await asyncio.sleep(0.1)
        self.wrong += [f"lost: a stream of {w.user} saw {w.number} of {wanted[w.user]} events" for w in late]

    async def _publish(self, rate: float) -> None:
        """Publish at an average rate, even if the task is woken late."""
        due, last, turn = 0.0, time.monotonic(), 0
        while True:
            await asyncio.sleep(0.02)
            now = time.monotonic()
            due, last = due + (now - last) * rate, now
            for _ in range(int(due)):
                user = self._users[turn % len(self._users)]
                turn += 1
                self.published[user] += 1
                self._service.publish(user, f"{self.published[user]} {time.monotonic()}")
            due -= int(due)
            await self._service.stub.notify()

    def saw(self, published: float) -> None:
        """Record that a stream saw an event. ``published`` is when it was put into the queue."""
        if published >= self.window.began:
            self.window.delays.append(time.monotonic() - published)

    def silent_for(self, seconds: float) -> None:
        """Record that a silent stream got nothing for ``seconds``."""
        self.window.silence = max(self.window.silence, seconds)
        if seconds > self._heartbeat + HEARTBEAT_ALLOWANCE:
            into = time.monotonic() - self.window.began
            self.wrong.append(f"a heartbeat came after {seconds:.1f} s, {into:.1f} s after the start of the period")


class _Hearing(Stream):
    """Checks that the events of its user are numbered from 1."""

    __slots__ = ("_all", "number", "user")

    def __init__(self, bystanders: Bystanders, user: str, token: str) -> None:
        super().__init__(request(token))
        self._all = bystanders
        self.user = user
        self.number = 0

    def event(self, kind: str, data: str) -> None:
        if kind.startswith("stream."):
            if kind not in ("stream.ready", "stream.cursor"):
                self._all.wrong.append(f"a stream of {self.user} got {kind} {data}")
            return
        number, _, at = data.partition(" ")
        self._all.saw(float(at))
        if int(number) != self.number + 1:
            what = "doubled or reordered" if int(number) <= self.number else "lost"
            self._all.wrong.append(f"{what}: a stream of {self.user} saw {number} after {self.number}")
        self.number = max(self.number, int(number))

    def connection_lost(self, exc: Exception | None) -> None:
        if self.end != "left":
            self._all.wrong.append(f"a stream of {self.user} ended: {exc}")
        super().connection_lost(exc)


class _Silent(Stream):
    """Checks that it gets heartbeats in time."""

    __slots__ = ("_all",)

    def __init__(self, bystanders: Bystanders, token: str) -> None:
        super().__init__(request(token))
        self._all = bystanders

    def body(self, data: bytes) -> None:
        if self.heard:
            self.note_silence()
        super().body(data)

    def note_silence(self) -> None:
        self._all.silent_for(time.monotonic() - self.heard)
