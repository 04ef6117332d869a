"""A broker that runs the Lua scripts of the previous release, which are in ``previous/``.

Tasks of two releases share a server during a deploy. When the scripts change again, replace them by the last release's.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any
from unittest.mock import patch

from sse_service.brokers.base import Broker
from sse_service.brokers.dedupe import content_digest, count_duplicate, dedupe_key
from sse_service.brokers.valkey import scripts
from sse_service.brokers.valkey.broker import ValkeyBroker
from sse_service.brokers.valkey.entries import encode
from sse_service.model.events import Route
from tests.contracts.brokers import ValkeyFactory
from tests.contracts.clock import Clock

FOLDER = Path(__file__).with_name("previous")


def _source(name: str) -> bytes:
    """As ``scripts.source``, with the test's clock."""
    flags, _, body = (FOLDER / f"{name}.lua").read_bytes().partition(b"\n")
    text = b"\n".join((flags, (FOLDER / "metadata.lua").read_bytes(), body))
    assert b"redis.call('TIME')" in text
    return text.replace(b"redis.call('TIME')", b"{0, redis.call('GET', 'clock')}")


class PreviousBroker(ValkeyBroker):
    """Publishes, replays and probes with the scripts of the previous release. The rest is as it was."""

    def __init__(
        self,
        *,
        history_events: int = 200,
        history_seconds: float = 3600,
        history_bytes: int = 64 * 1024 * 1024,
        dedupe_seconds: float = 900,
        **rest: Any,
    ) -> None:
        current = scripts.source

        def source(name: str) -> bytes:
            return current(name) if name == scripts.REVOCATIONS else _source(name)

        with patch.object(scripts, "source", source):
            super().__init__(
                history_events=history_events,
                history_seconds=history_seconds,
                history_bytes=history_bytes,
                dedupe_seconds=dedupe_seconds,
                **rest,
            )
            self._publish = scripts.Script("publish")
        seconds = (int(history_seconds * 1_000_000), int(dedupe_seconds * 1_000_000))
        self._limits = (history_events, seconds[0], history_bytes, seconds[1], 1_000_000)

    async def publish(self, routes: Sequence[Route]) -> None:
        arguments: list[str | bytes | int] = []
        for route in routes:
            arguments += dedupe_key(route), content_digest(route), encode(route), len(route.channels), *route.channels
        epoch, *answers = await self._publish(
            *(self._connections.storing, self._connections.run_id),
            *(*self._limits, self._live, len(routes), *arguments),
        )
        self._losses.begin_epoch(epoch.decode())
        for route, answer in zip(routes, answers, strict=True):
            if answer in (b"same", b"differing"):
                count_duplicate(route, same=answer == b"same", metrics=self._metrics)
            else:
                self._metrics.events_stored.inc()


class PreviousFactory(ValkeyFactory):
    """Makes brokers of the previous release."""

    def __call__(self, *, clock: Clock, **settings: Any) -> Broker:
        return PreviousBroker(url=self._url, on_lost=lambda _: None, **settings)
