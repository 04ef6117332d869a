"""The broker of any number of tasks: order and history live in Valkey or Redis."""

from __future__ import annotations

import asyncio
import logging
import random
import time
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING

from redis.exceptions import AuthenticationError, NoPermissionError

from sse_service.brokers.base import Entry, Page
from sse_service.brokers.dedupe import MAX_DEDUPE_KEYS, content_digest, count_duplicate, dedupe_key
from sse_service.brokers.valkey.entries import decode, encode
from sse_service.brokers.valkey.foreign import foreign
from sse_service.brokers.valkey.link import FAULTS, Link, connection, database
from sse_service.brokers.valkey.listener import CONFIRM_SECONDS, ValkeyListener
from sse_service.brokers.valkey.prober import ValkeyProber
from sse_service.brokers.valkey.requirements import run_id
from sse_service.brokers.valkey.scripts import Script
from sse_service.model.cursor import Cursor, judge
from sse_service.model.errors import InvalidSettings, Unavailable
from sse_service.model.reasons import GapReason

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sse_service.brokers.base import Listener, OnLost, PossibleLoss
    from sse_service.model.events import Route
    from sse_service.telemetry.metrics import Metrics

RETRY_SECONDS = 0.5
"""Between two tries to connect, with jitter."""

REFUSED_SECONDS = 30.0
"""That a refused publish counts as trouble: whoever still has the event tries again sooner."""

PAGE_BYTES = 1024 * 1024
"""Of the entries of one page, about, so that no answer stands in the way of the others for long."""

_log = logging.getLogger(__name__)


class ValkeyBroker:
    """A Broker whose parts in all tasks share one server."""

    def __init__(
        self,
        *,
        url: str,
        listener: Listener,
        on_lost: OnLost,
        metrics: Metrics,
        history_events: int = 200,
        history_seconds: float = 3600,
        history_bytes: int = 64 * 1024 * 1024,
        dedupe_seconds: float = 900,
        max_dedupe_keys: int = MAX_DEDUPE_KEYS,
    ) -> None:
        """Bounds as of the memory broker; all tasks of one server must be given the same."""
        self._url = url
        self._metrics = metrics
        self._history_events = history_events
        self._history_seconds = history_seconds
        self._age_us = int(history_seconds * 1_000_000)
        self._history_bytes = history_bytes
        self._dedupe_us = int(dedupe_seconds * 1_000_000)
        self._max_dedupe_keys = max_dedupe_keys
        # Databases of one server share the names that are published to.
        self._live = f"{{sse}}:{database(url)}:live:"
        self._listening = ValkeyListener(prefix=self._live, listener=listener, on_lost=on_lost, metrics=metrics)
        self._prober = ValkeyProber(listening=self._listening, age_us=self._age_us)
        self._publish, self._replay = Script("publish"), Script("replay")
        # What is published and what is read go by two connections: a long page delays no event.
        self._store: Link | None = None
        self._history: Link | None = None
        self._run_id = ""
        self._away: str | None = "not connected yet"
        self._since = time.monotonic()
        self._refused: str | None = None
        self._refused_at = 0.0

    @property
    def trouble(self) -> str | None:
        """Why the store does not work now; None where it does."""
        if self._away is None and time.monotonic() - self._refused_at > REFUSED_SECONDS:
            return None
        return self._away or self._refused

    async def check(self) -> None:
        """Raise InvalidSettings where the server must not be used; one that does not answer is waited for later."""
        try:
            async with connection(self._url) as link:
                await run_id(link)
        except (Unavailable, *FAULTS) as error:
            _log.warning("Valkey is not there yet: %s", _details(error))

    async def run(self) -> None:
        """Hold the connections, and make them anew when any of them fails, until cancelled."""
        while True:
            try:
                await self._session()
            # Whatever it is: without this loop no stream would ever get another event.
            except* Exception as group:
                error = _first(group)
                if not isinstance(error, (Unavailable, InvalidSettings, *FAULTS)):
                    _log.error("a fault of the connections to Valkey", exc_info=error)
                if self._away is None:
                    self._since = time.monotonic()
                if self._away != (reason := _reason(error)):
                    _log.error("Valkey is away: %s", _details(error))
                self._away = reason
            if (task := asyncio.current_task()) is not None and task.cancelling():
                # A TaskGroup that is cancelled while one of its tasks fails raises the failure alone.
                raise asyncio.CancelledError
            await asyncio.sleep(RETRY_SECONDS * random.uniform(0.5, 1.5))  # noqa: S311  spreads load

    async def publish(self, routes: Sequence[Route]) -> None:
        """One script for all of them: each is deduplicated, stored and told to the tasks in one step."""
        if not routes:
            return
        arguments: list[str | bytes | int] = []
        for route in routes:
            channels = dict.fromkeys(route.channels)
            arguments += dedupe_key(route), content_digest(route), encode(route), len(channels), *channels
        try:
            epoch, *answers = await self._publish(
                self._up(self._store),
                self._run_id,
                self._history_events,
                self._age_us,
                self._history_bytes,
                self._dedupe_us,
                self._max_dedupe_keys,
                self._live,
                len(routes),
                *arguments,
            )
        except Unavailable as error:
            self._refuse(str(error))
            raise
        self._refused = None
        self._listening.begin_epoch(epoch.decode())
        for route, answer in zip(routes, answers, strict=True):
            if answer in (b"same", b"differing"):
                count_duplicate(route, same=answer == b"same", metrics=self._metrics)
            else:
                self._metrics.events_stored.inc()

    async def subscribe(self, channels: Sequence[str]) -> None:
        """Wait until the server has confirmed them all."""
        await self._listening.subscribe(channels)

    def unsubscribe(self, channel: str) -> None:
        """Let the server know some seconds later."""
        self._listening.unsubscribe(channel)

    async def replay(
        self, channels: Sequence[str], after: Cursor | None, limit: int, doubts: Sequence[PossibleLoss] = ()
    ) -> Page:
        """Read the channels in one step, merged by the server."""
        names = list(dict.fromkeys(channels))
        unsure = [word for doubt in doubts for word in (doubt.channel, doubt.after, doubt.upto)]
        start = after.offset if after else 0
        epoch, offset, floor, lasts, lost, more, flat = await self._replay(
            *(self._up(self._history), self._run_id, self._age_us, start, limit, PAGE_BYTES),
            *(len(names), *names, *unsure),
        )
        here = Cursor(epoch.decode(), int(offset))
        self._listening.begin_epoch(here.epoch)
        self._listening.known(names, [int(last) for last in lasts])
        gap = judge(after, position=here, floor=int(floor), age_seconds=self._history_seconds)
        if lost and gap is None:
            gap = GapReason.LOST
        entries = self._entries(flat, here.epoch)
        if not more:
            return Page(tuple(entries), here, gap)
        last = entries[-1].cursor if entries else here
        # By the entry read last, also where it was held back
        upto = last if last.offset == int(flat[-3]) else Cursor(here.epoch, int(flat[-3]))
        return Page(tuple(entries), upto, gap, more=True)

    async def position(self) -> Cursor:
        """Reserve the present, as the store's clock has it."""
        epoch, offset, *_ = await self._replay(self._up(self._history), self._run_id, self._age_us, 0, 1, PAGE_BYTES, 0)
        self._listening.begin_epoch(epoch.decode())
        return Cursor(epoch.decode(), int(offset))

    def delivered(self) -> Cursor:
        """Give the newest probe that has come back with all that was stored before it."""
        return self._prober.delivered

    def _entries(self, flat: Sequence[bytes], epoch: str) -> list[Entry]:
        entries = []
        for offset, channel, event in zip(flat[::3], flat[1::3], flat[2::3], strict=True):
            try:
                entry = decode(event, epoch=epoch, offset=int(offset))
            except ValueError:
                entry = None
            if entry is not None and channel.decode() in entry.channels:
                entries.append(entry)
            else:
                foreign(channel.decode(), self._metrics)
        return entries

    def _up(self, link: Link | None) -> Link:
        if link is None:
            raise Unavailable(self._away or "not connected")
        return link

    def _refuse(self, reason: str) -> None:
        if self._away is not None:
            return
        if self._refused != reason:
            _log.error("Valkey took no events: %s", reason)
        self._refused, self._refused_at = reason, time.monotonic()

    def _answered(self) -> None:
        """A probe is answered: with the first of a session, the store is there."""
        if self._away is None:
            return
        _log.info("Valkey answers, after %.1f s", time.monotonic() - self._since)
        self._away = self._refused = None
        self._metrics.broker_connections.inc()

    async def _session(self) -> None:
        """Connect, and hold the connections together until one fails: raises what it failed with."""
        async with AsyncExitStack() as stack:
            links = [await stack.enter_async_context(connection(self._url)) for _ in range(3)]
            runs = {await run_id(link) for link in links}
            if len(runs) > 1:
                raise Unavailable("the connections lead to different servers")
            self._run_id = runs.pop()
            store, history, messages = Link(links[0]), Link(links[1]), links[2]
            confirmed = asyncio.Event()
            try:
                async with asyncio.TaskGroup() as tasks:
                    tasks.create_task(store.run())
                    tasks.create_task(history.run())
                    tasks.create_task(self._listening.run(messages, confirmed=confirmed))
                    async with asyncio.timeout(CONFIRM_SECONDS):
                        await confirmed.wait()
                    self._store, self._history = store, history
                    await self._prober.run(store, self._run_id, answered=self._answered)
            finally:
                self._store = self._history = None
                # Before a later connection brings anything: what comes meanwhile is in History only.
                self._listening.lose_all()


def _reason(error: BaseException) -> str:
    """What may be told to whoever asks: without the server's address."""
    if isinstance(error, Unavailable | InvalidSettings):
        return str(error)
    if isinstance(error, AuthenticationError):
        return "the server refuses the password"
    if isinstance(error, NoPermissionError):
        return "the server's user lacks a permission"
    return "no connection"


def _details(error: BaseException) -> str:
    """What is logged."""
    return ": ".join(str(e) or type(e).__name__ for e in (error, error.__cause__) if e is not None)


def _first(error: BaseException) -> BaseException:
    """The failure that ended a group of tasks."""
    return _first(error.exceptions[0]) if isinstance(error, BaseExceptionGroup) else error
