"""The broker for any number of tasks that share one Valkey or Redis server."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sse_service.brokers.base import Entry, Page
from sse_service.brokers.dedupe import MAX_DEDUPE_KEYS
from sse_service.brokers.valkey.connections import Connections
from sse_service.brokers.valkey.entries import decode
from sse_service.brokers.valkey.link import database
from sse_service.brokers.valkey.listener import ValkeyListener, drop_misdirected
from sse_service.brokers.valkey.losses import LossDetector
from sse_service.brokers.valkey.prober import ValkeyProber
from sse_service.brokers.valkey.publisher import ValkeyPublisher
from sse_service.brokers.valkey.revocations import ValkeyRevocations
from sse_service.brokers.valkey.scripts import Script
from sse_service.model.cursor import Cursor, find_gap
from sse_service.model.errors import Unavailable
from sse_service.model.reasons import GapReason

if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any

    from sse_service.brokers.base import Listener, OnLost, OnRevoked, PossibleLoss, Revocations
    from sse_service.model.events import Route
    from sse_service.model.revocations import Revocation
    from sse_service.telemetry.metrics import Metrics

PAGE_BYTES = 1024 * 1024
"""Approximate size of one page's entries, so that one answer does not delay the others for long."""


class ValkeyBroker:
    """A Broker that stores events in the server and detects losses of its pub/sub (``DetectsLosses``)."""

    def __init__(
        self,
        *,
        url: str,
        listener: Listener,
        on_lost: OnLost,
        revocations: Revocations,
        on_revoked: OnRevoked,
        metrics: Metrics,
        history_events: int = 200,
        history_seconds: float = 3600,
        history_bytes: int = 64 * 1024 * 1024,
        dedupe_seconds: float = 900,
        max_dedupe_keys: int = MAX_DEDUPE_KEYS,
    ) -> None:
        """The limits are those of the memory broker. All tasks that share a server must use the same limits."""
        self._metrics = metrics
        self._history_seconds = history_seconds
        self._age_us = int(history_seconds * 1_000_000)
        # All databases of a server share its pub/sub channels, so the names contain the number of the database.
        self._live = f"{{sse}}:{database(url)}:live:"
        self._losses = LossDetector(on_lost=on_lost, metrics=metrics)
        self._listener = ValkeyListener(prefix=self._live, listener=listener, losses=self._losses, metrics=metrics)
        self._prober = ValkeyProber(listener=self._listener, losses=self._losses, age_us=self._age_us)
        self._revocations = ValkeyRevocations(revocations=revocations, on_revoked=on_revoked)
        self._connections = Connections(
            url=url,
            listener=self._listener,
            losses=self._losses,
            prober=self._prober,
            revocations=self._revocations,
            metrics=metrics,
        )
        self._publisher = ValkeyPublisher(
            connections=self._connections,
            losses=self._losses,
            metrics=metrics,
            prefix=self._live,
            limits=(history_events, self._age_us, history_bytes, int(dedupe_seconds * 1_000_000), max_dedupe_keys),
        )
        self._replay = Script("replay")

    @property
    def trouble(self) -> str | None:
        """Why the server does not work now; None if it works."""
        return self._connections.trouble

    async def check(self) -> None:
        """Raise InvalidSettings if the server must not be used."""
        await self._connections.check()

    async def run(self) -> None:
        """Keep the connections open until cancelled."""
        await self._connections.run()

    async def publish(self, routes: Sequence[Route]) -> None:
        """Deduplicate, store and publish all events in one script, perhaps with those of other calls."""
        if routes:
            await self._publisher.publish(routes)

    async def subscribe(self, channels: Sequence[str]) -> None:
        """Wait until the server has confirmed all subscriptions."""
        await self._listener.subscribe(channels)

    def unsubscribe(self, channel: str) -> None:
        """Unsubscribe after some seconds."""
        self._listener.unsubscribe(channel)

    async def replay(self, channels: Sequence[str], after: Cursor | None, limit: int) -> Page:
        """Read a page in one script, which merges the channels."""
        return await self._read_page(channels, after, limit, ())

    async def replay_after_loss(
        self, channels: Sequence[str], after: Cursor | None, limit: int, losses: Sequence[PossibleLoss]
    ) -> Page:
        """Read a page and check the possible losses in one script."""
        return await self._read_page(channels, after, limit, losses)

    async def _read_page(
        self, channels: Sequence[str], after: Cursor | None, limit: int, losses: Sequence[PossibleLoss]
    ) -> Page:
        names = list(dict.fromkeys(channels))
        ranges = [argument for loss in losses for argument in (loss.channel, loss.after, loss.upto)]
        start = after.offset if after else 0
        epoch, offset, floor, lasts, lost, more, flat = await self._read(start, limit, *names, losses=ranges)
        here = Cursor(epoch.decode(), int(offset))
        self._losses.begin_epoch(here.epoch)
        self._losses.history_read(names, [int(last) for last in lasts])
        gap = find_gap(after, position=here, floor=int(floor), age_seconds=self._history_seconds)
        if lost and gap is None:
            gap = GapReason.LOST
        entries = self._decode(flat, here.epoch)
        if not more:
            return Page(tuple(entries), here, gap)
        last = entries[-1].cursor if entries else here
        # Continue after the last entry read, even if it was dropped.
        upto = last if last.offset == int(flat[-3]) else Cursor(here.epoch, int(flat[-3]))
        return Page(tuple(entries), upto, gap, more=True)

    async def position(self) -> Cursor:
        """Reserve the present offset, by the server's clock."""
        epoch, offset, *_ = await self._read(0, 1)
        self._losses.begin_epoch(epoch.decode())
        return Cursor(epoch.decode(), int(offset))

    async def revoke(self, revocations: Sequence[Revocation]) -> None:
        """Merge them here, then exchange with the store at once."""
        self._revocations.add(revocations)
        try:
            await self._revocations.exchange(self._connections.storing, self._connections.run_id)
        except Unavailable:
            self._revocations.report_unsent()
            raise

    def delivered(self) -> Cursor:
        """Return the position of the newest probe that proved everything before it delivered."""
        return self._prober.delivered

    async def _read(self, start: int, limit: int, *channels: str, losses: Sequence[str | int] = ()) -> list[Any]:
        """Run the replay script."""
        try:
            answer = await self._replay(
                *(self._connections.reading, self._connections.run_id, self._age_us, start, limit, PAGE_BYTES),
                *(len(channels), *channels, *losses),
            )
        except Unavailable as error:
            self._connections.operation_failed("read", error)
            raise
        self._connections.operation_succeeded("read")
        return answer

    def _decode(self, flat: Sequence[bytes], epoch: str) -> list[Entry]:
        entries = []
        for offset, channel, event in zip(flat[::3], flat[1::3], flat[2::3], strict=True):
            try:
                entry = decode(event, epoch=epoch, offset=int(offset))
            except ValueError:
                entry = None
            if entry is not None and channel.decode() in entry.channels:
                entries.append(entry)
            else:
                drop_misdirected(channel.decode(), self._metrics)
        return entries
