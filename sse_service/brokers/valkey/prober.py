"""Sends probes the same way as events, to find out whether messages arrive, and whether any was lost."""

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

    from sse_service.brokers.valkey.listener import ValkeyListener
    from sse_service.brokers.valkey.losses import LossDetector
    from sse_service.brokers.valkey.pipeline import Pipeline

PROBE_SECONDS = 1.0
"""Interval between probes."""

ARRIVAL_SECONDS = 1.0
"""How long a probe may take to arrive."""

MAX_SILENT_PROBES = 2
"""Reconnect after this many missing probes in a row, if no other messages arrived either."""

MAX_LATE_PROBES = 10
"""Reconnect after this many missing probes in a row, even if other messages arrived."""

COMPARED_CHANNELS = 1000
"""How many channels each probe compares with the store."""


class ValkeyProber:
    """Sends a probe every second. When it arrives, compares the channels with what the store had at that time."""

    def __init__(self, *, listener: ValkeyListener, losses: LossDetector, age_us: int) -> None:
        self._listener = listener
        self._losses = losses
        self._age_us = age_us
        self._probe = Script("probe")
        self._delivered = Cursor("none", 0)
        # A round compares all channels. These are still to be compared, and this is the round's first probe.
        self._round: deque[str] = deque()
        self._round_start: Cursor | None = None

    @property
    def delivered(self) -> Cursor:
        """The newest position up to which no event of any channel is missing."""
        epoch = self._losses.epoch
        return self._delivered if self._delivered.epoch == epoch else Cursor(epoch or "none", 0)

    async def run(self, pipeline: Pipeline, run_id: str, *, answered: Callable[[], None]) -> None:
        """Send probes until cancelled, and call ``answered`` after each answer. Raises Unavailable if none arrive."""
        self._listener.probes.clear()
        self._round_start = None
        missing: list[int] = []
        silent = late = 0
        while True:
            started, received = time.monotonic(), self._listener.received
            channels = self._next_channels()
            epoch, offset, *lasts = await self._probe(
                pipeline, run_id, self._age_us, self._listener.probe_channel, *channels
            )
            here = Cursor(epoch.decode(), int(offset))
            self._losses.begin_epoch(here.epoch)
            answered()
            if await self._arrives(here.offset):
                if any(probe not in self._listener.probes for probe in missing):
                    self._losses.report()
                self._compare(here, channels, [int(last) for last in lasts])
                self._listener.probes.clear()
                missing.clear()
                silent = late = 0
            else:
                missing.append(here.offset)
                self._round_start = None
                late += 1
                silent = silent + 1 if received == self._listener.received else 0
                if silent == MAX_SILENT_PROBES or late == MAX_LATE_PROBES:
                    raise Unavailable("messages do not arrive")
            await asyncio.sleep(max(PROBE_SECONDS - (time.monotonic() - started), 0))

    def _next_channels(self) -> list[str]:
        if self._round_start is None or not self._round:
            self._round, self._round_start = deque(self._listener.channels()), None
        channels = [self._round.popleft() for _ in range(min(len(self._round), COMPARED_CHANNELS))]
        # One that is not confirmed has no live stream yet.
        return [channel for channel in channels if self._listener.is_confirmed(channel)]

    def _compare(self, here: Cursor, channels: list[str], lasts: list[int]) -> None:
        """Compare channels with the store, and finish the round if these were the last ones.

        Events that were stored before the probe were also published before it, so they must have arrived by now.
        """
        self._round_start = self._round_start or here
        self._losses.compare(channels, lasts)
        if not self._round:
            self._delivered = self._round_start
            self._losses.complete = self._round_start.offset

    async def _arrives(self, offset: int) -> bool:
        """Wait for a probe. Returns False if it does not arrive in time."""
        try:
            async with asyncio.timeout(ARRIVAL_SECONDS):
                while offset not in self._listener.probes:
                    self._listener.probed.clear()
                    await self._listener.probed.wait()
        except TimeoutError:
            return False
        return True
