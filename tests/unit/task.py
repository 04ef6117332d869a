"""The parts of a task between the broker and the streams, with a clock that tests move."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

from starlette.datastructures import QueryParams

from sse_service.brokers.base import Broker
from sse_service.brokers.memory.broker import MemoryBroker
from sse_service.model.events import Event, Route
from sse_service.model.principal import Principal
from sse_service.model.revocations import RevocationTable
from sse_service.protocols.query import read_start
from sse_service.streams.backlog import QueueLimits
from sse_service.streams.filter import Filter
from sse_service.streams.hub import Hub
from sse_service.streams.limits import Limits
from sse_service.streams.registry import OpenStream, StreamRegistry
from sse_service.streams.revoker import Revoker
from sse_service.streams.start import LIVE
from sse_service.telemetry.health import Health
from sse_service.telemetry.metrics import Metrics
from tests.integration.process import DEADLINE
from tests.unit.sinks import MemorySink

NEVER = 2**40


class Task:
    """Broker, hub, catch-up and streams, connected as in production."""

    def __init__(
        self,
        *,
        history_events: int = 1000,
        max_streams: int = 10,
        max_streams_per_user: int = 10,
        max_streams_per_address: int | None = None,
        max_age_seconds: float = 14_400,
        limits: QueueLimits | None = None,
        broker: Callable[..., Broker] = MemoryBroker,
    ) -> None:
        self.now = 1_000_000.0
        """What the store's clock shows."""
        self.clock = 500.5
        """What the timer's clock shows."""
        self.metrics = Metrics()
        self.hub = Hub(metrics=self.metrics, clock=lambda: self.clock)
        self.revocations = RevocationTable(clock=lambda: self.now)
        self.broker: Any = broker(
            listener=self.hub.dispatch,
            revocations=self.revocations,
            on_revoked=lambda changed: self.streams.end_revoked(changed),
            metrics=self.metrics,
            history_events=history_events,
            clock=lambda: self.now,
        )
        self.health = Health(dependencies={})
        self.streams = StreamRegistry(
            hub=self.hub,
            broker=self.broker,
            metrics=self.metrics,
            health=self.health,
            limits=Limits(
                streams=max_streams,
                per_user=max_streams_per_user,
                per_address=max_streams_per_address,
                opens_per_second=0,
            ),
            revocations=self.revocations,
            queue_limits=limits or QueueLimits(),
            max_age_seconds=max_age_seconds,
            clock=lambda: self.clock,
        )
        self.revoker = Revoker(
            table=self.revocations, broker=self.broker, streams=self.streams, seconds=86_400, clock=lambda: self.now
        )

    def run(self, body: Callable[[], Coroutine[Any, Any, None]]) -> None:
        """Run a test's body while the broker and the catch-up run."""

        async def both() -> None:
            async with asyncio.timeout(DEADLINE):
                working = [asyncio.create_task(part.run()) for part in (self.broker, self.streams)]
                try:
                    await body()
                finally:
                    for each in working:
                        each.cancel()
                    await asyncio.gather(*working, return_exceptions=True)

        asyncio.run(both())

    def open(
        self,
        sink: MemorySink,
        *,
        user: str = "1",
        address: str = "192.0.2.1",
        groups: tuple[str, ...] = (),
        expires: int = NEVER,
        issued: float | None = None,
        credential: bytes = b"",
        renewable: bool = False,
        last: str | None = None,
        since: str | None = None,
        filter: Filter | None = None,  # noqa: A002  the vocabulary's word
    ) -> OpenStream:
        return self.streams.open(
            protocol="sse",
            sink=sink,
            principal=Principal(user, groups, expires, issued, credential, renewable=renewable),
            address=address,
            start=read_start(QueryParams({"since": since} if since else {}), last_event_id=last or ""),
            filter=filter,
        )

    def open_as(self, sink: MemorySink, principal: Principal) -> OpenStream:
        """Open a live stream of this Principal."""
        return self.streams.open(protocol="sse", sink=sink, principal=principal, address=None, start=LIVE, filter=None)

    def admit(self, *, user: str = "1", address: str = "192.0.2.1", resumes: bool = False) -> None:
        self.streams.admit(user=user, address=address, resumes=resumes)

    async def publish(self, *texts: str, channels: tuple[str, ...] = ("user:1",), kind: str | None = None) -> None:
        for text in texts:
            self.now += 0.001
            await self.broker.publish([Route(Event(text, text, kind), channels)])


def no_revocations() -> dict[str, Any]:
    """The arguments of a broker for a test without revocations."""
    return {"revocations": RevocationTable(), "on_revoked": lambda _: None}


async def wait_until(condition: Callable[[], bool]) -> None:
    """Let other tasks run until the condition holds. The caller must have a deadline."""
    while not condition():  # noqa: ASYNC110  no event announces this state
        await asyncio.sleep(0)
