"""A broker that runs the Lua scripts of the previous release, which are in ``previous/``.

Tasks of two releases share a server during a deploy. When the scripts change again, replace them by the last release's.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any
from unittest.mock import patch

from sse_service.brokers.base import Broker
from sse_service.brokers.dedupe import content_digest, count_duplicate, dedupe_key
from sse_service.brokers.valkey import broker, prober, scripts
from sse_service.brokers.valkey.broker import ValkeyBroker
from sse_service.brokers.valkey.entries import encode
from sse_service.model.events import Route
from tests.contracts.brokers import ValkeyFactory, with_test_clock
from tests.contracts.clock import Clock

FOLDER = Path(__file__).with_name("previous")


def source(name: str) -> bytes:
    """As ``scripts.source``."""
    flags, _, body = (FOLDER / f"{name}.lua").read_bytes().partition(b"\n")
    return b"\n".join((flags, (FOLDER / "metadata.lua").read_bytes(), body))


class _PreviousScript(scripts.Script):
    def __init__(self, name: str, *, edit: Callable[[bytes], bytes]) -> None:
        with patch.object(scripts, "source", lambda name: edit(source(name))):
            super().__init__(name)


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
        script = partial(_PreviousScript, edit=self._edited)
        with patch.object(broker, "Script", script), patch.object(prober, "Script", script):
            super().__init__(
                history_events=history_events,
                history_seconds=history_seconds,
                history_bytes=history_bytes,
                dedupe_seconds=dedupe_seconds,
                **rest,
            )
        self._publish = script("publish")
        age, window = int(history_seconds * 1_000_000), int(dedupe_seconds * 1_000_000)
        self._limits = (history_events, age, history_bytes, window, 1_000_000)

    def _edited(self, text: bytes) -> bytes:
        return text

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


class _WithTestClock(PreviousBroker):
    def _edited(self, text: bytes) -> bytes:
        return with_test_clock(text)


class PreviousFactory(ValkeyFactory):
    """Makes brokers of the previous release whose scripts read the test's clock."""

    def __call__(self, *, clock: Clock, **settings: Any) -> Broker:
        return _WithTestClock(url=self._url, on_lost=lambda _: None, **settings)
