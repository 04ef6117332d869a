"""The task's three connections to Valkey. If one fails, all are made again."""

from __future__ import annotations

import asyncio
import logging
import random
import socket
import time
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING

from redis.exceptions import AuthenticationError

from sse_service.brokers.valkey.link import CONNECTION_ERRORS, connect
from sse_service.brokers.valkey.listener import CONFIRM_SECONDS
from sse_service.brokers.valkey.pipeline import Pipeline
from sse_service.brokers.valkey.requirements import ACL_RULES, NO_PERMISSION, lacks_permission, run_id
from sse_service.model.errors import InvalidSettings, Unavailable

if TYPE_CHECKING:
    from sse_service.brokers.valkey.listener import ValkeyListener
    from sse_service.brokers.valkey.losses import LossDetector
    from sse_service.brokers.valkey.prober import ValkeyProber
    from sse_service.brokers.valkey.revocations import ValkeyRevocations
    from sse_service.telemetry.metrics import Metrics

RETRY_SECONDS = 0.5
"""Pause before the next connection attempt, with jitter."""

EXCHANGE_SECONDS = 2.0
"""Interval between two exchanges of revocations, with jitter. A revocation must reach every task within 5 s."""

NOT_CONNECTED = "not connected yet"

OPERATION_TROUBLE_SECONDS = 30.0
"""How long a failed operation is reported as trouble. Callers retry sooner than this."""

_log = logging.getLogger(__name__)


class Connections:
    """Keeps the connections open, and knows why the server does not work, if so.

    Storing and reading have separate connections, so that a long page does not delay events. The third connection is
    for the listener.
    """

    def __init__(
        self,
        *,
        url: str,
        listener: ValkeyListener,
        losses: LossDetector,
        prober: ValkeyProber,
        revocations: ValkeyRevocations,
        metrics: Metrics,
    ) -> None:
        self._url = url
        self._listener = listener
        self._losses = losses
        self._prober = prober
        self._revocations = revocations
        self._metrics = metrics
        self._storing: Pipeline | None = None
        self._reading: Pipeline | None = None
        self.run_id = ""
        """The ``run_id`` of the server that the connections lead to."""
        self._away: str | None = NOT_CONNECTED
        self._logged: str | None = None
        self._away_since = time.monotonic()
        self._revocation_trouble: str | None = None
        # Operation -> why it failed last, and when.
        self._failed_operations: dict[str, tuple[str, float]] = {}

    @property
    def storing(self) -> Pipeline:
        """The connection for publishing. Raises Unavailable."""
        return self._connected(self._storing)

    @property
    def reading(self) -> Pipeline:
        """The connection for reading History. Raises Unavailable."""
        return self._connected(self._reading)

    @property
    def trouble(self) -> str | None:
        """Why the server does not work now; None if it works."""
        if self._away is not None:
            return self._away
        if self._revocation_trouble is not None:
            return self._revocation_trouble
        recently = time.monotonic() - OPERATION_TROUBLE_SECONDS
        return next((reason for reason, at in self._failed_operations.values() if at >= recently), None)

    async def check(self) -> None:
        """Raise InvalidSettings if the server must not be used. If it does not answer, only log a warning."""
        try:
            async with connect(self._url) as link:
                await run_id(Pipeline(link))
        except (Unavailable, *CONNECTION_ERRORS) as error:
            self._away = _reason(error)
            _log.warning("Valkey cannot be used yet; the service starts anyway and retries: %s", _details(error))

    async def run(self) -> None:
        """Keep the connections open until cancelled. Make them again when any of them fails."""
        while True:
            try:
                await self._connect_and_run()
            # Catch everything: if this loop ended, no stream would ever get another event.
            except* Exception as group:
                self._connections_failed(_first_failure(group))
            if (task := asyncio.current_task()) is not None and task.cancelling():
                # If a TaskGroup is cancelled while one of its tasks fails, it raises only the failure.
                raise asyncio.CancelledError
            await asyncio.sleep(RETRY_SECONDS * random.uniform(0.5, 1.5))  # noqa: S311  spreads load

    def operation_succeeded(self, operation: str) -> None:
        """Note that an operation succeeded."""
        if self._failed_operations:
            self._failed_operations.pop(operation, None)

    def operation_failed(self, operation: str, error: Unavailable) -> None:
        """Note and log that an operation failed, though the server is reachable."""
        if self._away is not None:
            return
        reason, _ = self._failed_operations.get(operation, (None, 0.0))
        if reason != str(error):
            _log.error("Valkey could not %s events: %s", operation, _details(error))
        self._failed_operations[operation] = str(error), time.monotonic()

    async def _exchange_revocations(self, pipeline: Pipeline) -> None:
        """Exchange revocations with the store. If the store refuses, this is only reported: events must go on."""
        try:
            await self._revocations.exchange(pipeline, self.run_id)
        except Unavailable as error:
            if not pipeline.ended and self._revocation_trouble != str(error):
                self._revocation_trouble = str(error)
                _log.error("Valkey could not exchange revocations: %s", _details(error))
        else:
            self._revocation_trouble = None

    async def _exchange_revocations_forever(self, pipeline: Pipeline) -> None:
        while True:
            await asyncio.sleep(EXCHANGE_SECONDS * random.uniform(0.75, 1.25))  # noqa: S311  spreads load
            await self._exchange_revocations(pipeline)

    def _connected(self, pipeline: Pipeline | None) -> Pipeline:
        if pipeline is None:
            raise Unavailable(self._away or "not connected")
        return pipeline

    def _connections_failed(self, error: BaseException) -> None:
        if not isinstance(error, (Unavailable, InvalidSettings, *CONNECTION_ERRORS)):
            _log.error("unexpected error in the connections to Valkey; reconnecting", exc_info=error)
        if self._away is None:
            self._away_since = time.monotonic()
        self._away = _reason(error)
        if self._logged != self._away:
            _log.error("Valkey is away: %s", _details(error))
        self._logged = self._away

    def _probe_answered(self) -> None:
        """Note that the server answered a probe. The first answer on new connections ends an outage."""
        if self._away is None:
            return
        if self._away == NOT_CONNECTED:
            _log.info("connected to Valkey")
        else:
            _log.info("Valkey is back, after %.1f s", time.monotonic() - self._away_since)
        self._away = self._logged = None
        self._failed_operations.clear()
        self._metrics.broker_connections.inc()

    async def _connect_and_run(self) -> None:
        """Connect, and use the connections until one fails. Raises the failure."""
        async with AsyncExitStack() as stack:
            links = [await stack.enter_async_context(connect(self._url)) for _ in range(3)]
            storing, reading, other = map(Pipeline, links)
            runs = {await run_id(pipeline) for pipeline in (storing, reading, other)}
            if len(runs) > 1:
                raise Unavailable("the connections lead to different servers")
            self.run_id = runs.pop()
            confirmed = asyncio.Event()
            try:
                async with asyncio.TaskGroup() as tasks:
                    tasks.create_task(storing.run())
                    tasks.create_task(reading.run())
                    tasks.create_task(self._listener.run(links[2], confirmed=confirmed))
                    async with asyncio.timeout(CONFIRM_SECONDS):
                        await confirmed.wait()
                    self._storing, self._reading = storing, reading
                    # Before the first probe: until its answer the task is not ready, and opens no streams behind a
                    # load balancer.
                    await self._exchange_revocations(storing)
                    tasks.create_task(self._exchange_revocations_forever(storing))
                    await self._prober.run(storing, self.run_id, answered=self._probe_answered)
            finally:
                self._storing = self._reading = None
                # Report before reconnecting: events published during the outage are only in History.
                self._losses.report()


def _reason(error: BaseException) -> str:
    """Return the public reason, without the server's address or user."""
    if isinstance(error, AuthenticationError) or isinstance(error.__cause__, AuthenticationError):
        return "the server refuses the password"
    if isinstance(error, Unavailable | InvalidSettings):
        return str(error)
    if lacks_permission(error):
        return NO_PERMISSION
    return "no connection"


def _details(error: BaseException) -> str:
    """Return the details for the log."""
    if isinstance(error, TimeoutError):
        # Its text is empty, and its cause is the cancellation that ended the wait.
        return "no answer in time"
    if isinstance(error, socket.gaierror):
        return f"the name in SSE_BROKER_URL cannot be looked up: {error.strerror}"
    found = [each for each in (error, error.__cause__) if each is not None]
    text = ": ".join(str(each) or type(each).__name__ for each in found)
    if any(lacks_permission(each) for each in found):
        return f"{text.rstrip('.')}. Give the user these rights with ACL SETUSER: {ACL_RULES}"
    return text


def _first_failure(error: BaseException) -> BaseException:
    """Return the first failure of a group of tasks."""
    return _first_failure(error.exceptions[0]) if isinstance(error, BaseExceptionGroup) else error
