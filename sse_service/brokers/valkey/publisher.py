"""Publishes events. Calls that come while another is under way are gathered into one script."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING

from sse_service.brokers.dedupe import content_digest, count_duplicate, dedupe_key
from sse_service.brokers.valkey.entries import encode
from sse_service.brokers.valkey.scripts import Script
from sse_service.model.errors import Unavailable

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sse_service.brokers.valkey.connections import Connections
    from sse_service.brokers.valkey.losses import LossDetector
    from sse_service.model.events import Route
    from sse_service.telemetry.metrics import Metrics

_log = logging.getLogger(__name__)

MAX_EVENTS = 100
"""How many events one script stores, unless a single call has more. The server does nothing else meanwhile: 3 ms."""

MAX_BYTES = 256 * 1024
"""Size of the events that one script stores, unless a single call has more."""


@dataclass(frozen=True, slots=True)
class _Call:
    """One call of ``publish`` that waits for its turn, or for its answer."""

    routes: Sequence[Route]
    events: list[bytes]
    size: int
    stored: asyncio.Future[None]


class ValkeyPublisher:
    """Stores the events of all callers, one script at a time, in the order of the calls.

    A script has fixed costs, in the server and here, so that ten events in one call cost a third of ten calls. Nothing
    waits for others to come: a script starts in the next turn of the event loop unless one is under way.
    """

    def __init__(
        self,
        *,
        connections: Connections,
        losses: LossDetector,
        metrics: Metrics,
        prefix: str,
        limits: tuple[int, int, int, int, int],
    ) -> None:
        """``prefix`` plus a channel is the name of its pub/sub channel.

        ``limits`` are the events of a channel, the age of History in µs, the bytes of all channels, the dedupe window
        in µs, and the dedupe keys.
        """
        self._connections = connections
        self._losses = losses
        self._metrics = metrics
        self._prefix = prefix
        self._limits = limits
        self._script = Script("publish")
        self._waiting: deque[_Call] = deque()
        self._working: asyncio.Task[None] | None = None

    async def publish(self, routes: Sequence[Route]) -> None:
        """Return when all are stored. Raises Unavailable.

        A caller that is cancelled affects no other: its events may or may not be stored.
        """
        events = [encode(route) for route in routes]
        call = _Call(routes, events, sum(map(len, events)), asyncio.get_running_loop().create_future())
        self._waiting.append(call)
        if self._working is None:
            # It ends by itself: a script has a timeout, and no script starts without a connection.
            self._working = asyncio.create_task(self._work())
        await call.stored

    async def _work(self) -> None:
        """Store what waits, until nothing does."""
        try:
            while calls := self._next_calls():
                await self._store(calls)
                # The callers that have their answers go first, so that what they publish next is in the next script.
                await asyncio.sleep(0)
        finally:
            self._working = None

    def _next_calls(self) -> list[_Call]:
        calls: list[_Call] = []
        count = size = 0
        while self._waiting:
            call = self._waiting[0]
            count, size = count + len(call.routes), size + call.size
            if calls and (count > MAX_EVENTS or size > MAX_BYTES):
                break
            self._waiting.popleft()
            if call.stored.done():
                # Its caller was cancelled.
                count, size = count - len(call.routes), size - call.size
            else:
                calls.append(call)
        return calls

    async def _store(self, calls: list[_Call]) -> None:
        try:
            answers = await self._run_script(calls)
            self._count(calls, answers)
        except Unavailable as error:
            self._connections.operation_failed("store", error)
            _fail(calls, error)
        except Exception as error:
            # It must not end the work: others wait for their turn.
            _log.exception("unexpected error when storing %d events", sum(len(call.routes) for call in calls))
            _fail(calls, error)
        except BaseException as error:
            _fail([*calls, *self._waiting], error)
            raise
        else:
            self._connections.operation_succeeded("store")
            for call in calls:
                if not call.stored.done():
                    call.stored.set_result(None)

    async def _run_script(self, calls: list[_Call]) -> list[bytes]:
        """Return the answer for each event."""
        routes = [route for call in calls for route in call.routes]
        numbers: dict[str, int] = {}
        where = [
            [numbers.setdefault(f"@{channel}", len(numbers) + 1) for channel in dict.fromkeys(route.channels)]
            for route in routes
        ]
        keys = list(map(dedupe_key, routes))
        arguments: list[str | bytes | int] = [len(routes), len(numbers), len(set(keys)), *keys]
        arguments += numbers
        arguments += map(content_digest, routes)
        arguments += (event for call in calls for event in call.events)
        if any(indices != [number] for number, indices in enumerate(where, start=1)):
            # Mostly, each event has one channel of its own, and the script needs to know no more.
            arguments += (" ".join(map(str, indices)) for indices in where)
        *answers, epoch = await self._script(
            self._connections.storing, self._connections.run_id, *self._limits, self._prefix, *arguments
        )
        self._losses.begin_epoch(epoch.decode())
        return answers

    def _count(self, calls: list[_Call], answers: list[bytes]) -> None:
        for route, answer in zip((route for call in calls for route in call.routes), answers, strict=True):
            if answer in (b"same", b"differing"):
                count_duplicate(route, same=answer == b"same", metrics=self._metrics)
            else:
                self._metrics.events_stored.inc()


def _fail(calls: list[_Call], error: BaseException) -> None:
    for call in calls:
        if not call.stored.done():
            call.stored.set_exception(Unavailable(str(error)))
