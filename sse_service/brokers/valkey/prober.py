"""Probes that go the way of events: whether messages come, what was lost of them, and up to where all came."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from typing import TYPE_CHECKING

from sse_service.brokers.valkey.scripts import Script
from sse_service.model.cursor import Cursor
from sse_service.model.errors import Unavailable

if TYPE_CHECKING:
    from collections.abc import Callable

    from sse_service.brokers.valkey.link import Link
    from sse_service.brokers.valkey.listener import ValkeyListener

PROBE_SECONDS = 1.0
"""Between two probes."""

ARRIVAL_SECONDS = 1.0
"""For a probe to come back."""

MAX_SILENT_PROBES = 2
"""Probes in a row that did not come, nor anything else: the connection is made anew."""

MAX_LATE_PROBES = 10
"""The same where other messages come meanwhile."""

AUDITED_CHANNELS = 1000
"""Channels compared with the store at each probe."""


class ValkeyProber:
    """Sends a probe a second, and compares what came with what the store had then."""

    def __init__(self, *, listening: ValkeyListener, age_us: int) -> None:
        self._listening = listening
        self._age_us = age_us
        self._probe = Script("probe")
        self._delivered = Cursor("none", 0)
        # Channels that are still to be compared in this round, and the probe with which the round began.
        self._round: deque[str] = deque()
        self._begun: Cursor | None = None

    @property
    def delivered(self) -> Cursor:
        """The newest probe before which nothing of any channel is missing."""
        epoch = self._listening.epoch
        return self._delivered if self._delivered.epoch == epoch else Cursor(epoch or "none", 0)

    async def run(self, link: Link, run_id: str, *, answered: Callable[[], None]) -> None:
        """Probe until cancelled; raises Unavailable where no messages come."""
        self._listening.probes.clear()
        self._begun = None
        missing: list[int] = []
        silent = late = 0
        while True:
            started, received = time.monotonic(), self._listening.received
            names = self._next_names()
            epoch, offset, *lasts = await self._probe(link, run_id, self._age_us, self._listening.probe_channel, *names)
            here = Cursor(epoch.decode(), int(offset))
            self._listening.begin_epoch(here.epoch)
            answered()
            if await self._comes(here.offset):
                if any(probe not in self._listening.probes for probe in missing):
                    self._listening.lose_all()
                self._compare(here, names, [int(last) for last in lasts])
                self._listening.probes.clear()
                missing.clear()
                silent = late = 0
            else:
                missing.append(here.offset)
                self._begun = None
                late += 1
                silent = silent + 1 if received == self._listening.received else 0
                if silent == MAX_SILENT_PROBES or late == MAX_LATE_PROBES:
                    raise Unavailable("messages do not come")
            await asyncio.sleep(max(PROBE_SECONDS - (time.monotonic() - started), 0))

    def _next_names(self) -> list[str]:
        if self._begun is None or not self._round:
            self._round, self._begun = deque(self._listening.names()), None
        return [self._round.popleft() for _ in range(min(len(self._round), AUDITED_CHANNELS))]

    def _compare(self, here: Cursor, names: list[str], lasts: list[int]) -> None:
        """All that was stored before the probe was sent before it too, so it must have come."""
        self._begun = self._begun or here
        self._listening.audit(names, lasts)
        if not self._round:
            self._delivered = self._begun
            self._listening.proven = self._begun.offset

    async def _comes(self, offset: int) -> bool:
        """Wait for a probe; False where it does not come in time."""
        try:
            async with asyncio.timeout(ARRIVAL_SECONDS):
                while offset not in self._listening.probes:
                    self._listening.probed.clear()
                    await self._listening.probed.wait()
        except TimeoutError:
            return False
        return True
