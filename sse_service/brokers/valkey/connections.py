"""The task's three connections to Valkey: made together, and made again whenever one of them fails."""

from __future__ import annotations

import asyncio
import logging
import random
import time
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING

from redis.exceptions import AuthenticationError

from sse_service.brokers.valkey.listener import CONFIRM_SECONDS
from sse_service.brokers.valkey.pipeline import FAULTS, Pipeline, connect
from sse_service.brokers.valkey.requirements import ACL_RULES, NO_PERMISSION, lacks_permission, run_id
from sse_service.model.errors import InvalidSettings, Unavailable

if TYPE_CHECKING:
    from sse_service.brokers.valkey.listener import ValkeyListener
    from sse_service.brokers.valkey.losses import LossDetector
    from sse_service.brokers.valkey.prober import ValkeyProber
    from sse_service.telemetry.metrics import Metrics

RETRY_SECONDS = 0.5
"""Pause between two connection attempts, with jitter."""

REFUSED_SECONDS = 30.0
"""How long a refused operation counts as trouble. The caller tries again sooner than this."""

_log = logging.getLogger(__name__)


class Connections:
    """Holds the connections, and knows why the server does not work if it does not.

    Storing and reading have a connection each, so that a long page delays no event. The third is the listener's.
    """

    def __init__(
        self, *, url: str, listener: ValkeyListener, losses: LossDetector, prober: ValkeyProber, metrics: Metrics
    ) -> None:
        self._url = url
        self._listener = listener
        self._losses = losses
        self._prober = prober
        self._metrics = metrics
        self._storing: Pipeline | None = None
        self._reading: Pipeline | None = None
        self.run_id = ""
        """The id of the server's run that the connections lead to."""
        self._away: str | None = "not connected yet"
        self._away_since = time.monotonic()
        # Operation -> why the server refused it, and when.
        self._refused: dict[str, tuple[str, float]] = {}

    @property
    def storing(self) -> Pipeline:
        """The connection for publishing; raises Unavailable."""
        return self._connected(self._storing)

    @property
    def reading(self) -> Pipeline:
        """The connection for History; raises Unavailable."""
        return self._connected(self._reading)

    @property
    def trouble(self) -> str | None:
        """Why the server does not work now; None if it does."""
        if self._away is not None:
            return self._away
        recently = time.monotonic() - REFUSED_SECONDS
        return next((reason for reason, at in self._refused.values() if at >= recently), None)

    async def check(self) -> None:
        """Raise InvalidSettings if the server must not be used. One that does not answer is waited for later."""
        try:
            async with connect(self._url) as connection:
                await run_id(connection)
        except (Unavailable, *FAULTS) as error:
            _log.warning("Valkey cannot be used yet; the service starts and tries again: %s", _details(error))

    async def run(self) -> None:
        """Hold the connections, and make them again when any of them fails, until cancelled."""
        while True:
            try:
                await self._hold()
            # Every exception: without this loop no stream would ever get another event.
            except* Exception as group:
                self._failed(_first(group))
            if (task := asyncio.current_task()) is not None and task.cancelling():
                # A TaskGroup that is cancelled while one of its tasks fails raises the failure alone.
                raise asyncio.CancelledError
            await asyncio.sleep(RETRY_SECONDS * random.uniform(0.5, 1.5))  # noqa: S311  spreads load

    def accepted(self, operation: str) -> None:
        """Take note that the server did what was asked."""
        if self._refused:
            self._refused.pop(operation, None)

    def refused(self, operation: str, error: Unavailable) -> None:
        """Take note that the server did not do what was asked, though it is there."""
        if self._away is not None:
            return
        reason, _ = self._refused.get(operation, (None, 0.0))
        if reason != str(error):
            _log.error("Valkey could not %s events: %s", operation, _details(error))
        self._refused[operation] = str(error), time.monotonic()

    def _connected(self, pipeline: Pipeline | None) -> Pipeline:
        if pipeline is None:
            raise Unavailable(self._away or "not connected")
        return pipeline

    def _failed(self, error: BaseException) -> None:
        if not isinstance(error, (Unavailable, InvalidSettings, *FAULTS)):
            _log.error("unexpected error in the connections to Valkey; they are made again", exc_info=error)
        if self._away is None:
            self._away_since = time.monotonic()
        if self._away != (reason := _reason(error)):
            _log.error("Valkey is away: %s", _details(error))
        self._away = reason

    def _answered(self) -> None:
        """The server has answered a probe. At the first one of new connections, it counts as there."""
        if self._away is None:
            return
        _log.info("Valkey is back, after %.1f s", time.monotonic() - self._away_since)
        self._away = None
        self._refused.clear()
        self._metrics.broker_connections.inc()

    async def _hold(self) -> None:
        """Connect, and hold the connections until one fails; raises what it failed with."""
        async with AsyncExitStack() as stack:
            made = [await stack.enter_async_context(connect(self._url)) for _ in range(3)]
            runs = {await run_id(connection) for connection in made}
            if len(runs) > 1:
                raise Unavailable("the connections lead to different servers")
            self.run_id = runs.pop()
            storing, reading, messages = Pipeline(made[0]), Pipeline(made[1]), made[2]
            confirmed = asyncio.Event()
            try:
                async with asyncio.TaskGroup() as tasks:
                    tasks.create_task(storing.run())
                    tasks.create_task(reading.run())
                    tasks.create_task(self._listener.run(messages, confirmed=confirmed))
                    async with asyncio.timeout(CONFIRM_SECONDS):
                        await confirmed.wait()
                    self._storing, self._reading = storing, reading
                    await self._prober.run(storing, self.run_id, answered=self._answered)
            finally:
                self._storing = self._reading = None
                # Before a new connection brings anything: what is published meanwhile is in History only.
                self._losses.report()


def _reason(error: BaseException) -> str:
    """Return what anybody may see: without the server's address or user."""
    if isinstance(error, Unavailable | InvalidSettings):
        return str(error)
    if isinstance(error, AuthenticationError):
        return "the server refuses the password"
    if lacks_permission(error):
        return NO_PERMISSION
    return "no connection"


def _details(error: BaseException) -> str:
    """Return what is logged."""
    found = [each for each in (error, error.__cause__) if each is not None]
    text = ": ".join(str(each) or type(each).__name__ for each in found)
    if any(lacks_permission(each) for each in found):
        return f"{text.rstrip('.')}. Give the user these rights with ACL SETUSER: {ACL_RULES}"
    return text


def _first(error: BaseException) -> BaseException:
    """Return the failure that ended a group of tasks."""
    return _first(error.exceptions[0]) if isinstance(error, BaseExceptionGroup) else error
