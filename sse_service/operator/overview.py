"""The state of a task at one moment, for the operator's page."""

from __future__ import annotations

import time
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

from sse_service.telemetry.metrics import sum_samples

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from sse_service.operator.recent_warnings import LogLine, RecentWarnings
    from sse_service.operator.samples import Samples, Window
    from sse_service.streams.registry import StreamRegistry
    from sse_service.telemetry.health import Health
    from sse_service.telemetry.metrics import Metrics

MAX_USERS = 50
"""Limit of listed users. Those with the most streams come first."""


@dataclass(frozen=True, slots=True)
class UserStreams:
    """The open streams of one user."""

    user: str
    streams: int
    oldest_seconds: float
    newest_seconds: float
    behind: int
    """Streams that are catching up from History, or whose client reads slowly."""


@dataclass(frozen=True, slots=True)
class Overview:
    """The state of a task at one moment."""

    at: float
    """Seconds since 1970."""
    up_seconds: float
    draining: bool
    troubles: Mapping[str, str | None]
    notes: Mapping[str, str]
    """What an operator should know about dependencies that work, by name."""
    streams: int
    behind: int
    user_count: int
    users: Sequence[UserStreams]
    """The first MAX_USERS, most streams first."""
    counts: Mapping[str, float]
    """Totals since the start, by name."""
    window: Window
    """The last 15 minutes."""
    warnings: Sequence[LogLine]


class Inspector:
    """Collects an Overview from the parts of a task."""

    def __init__(
        self, *, streams: StreamRegistry, health: Health, metrics: Metrics, samples: Samples, warnings: RecentWarnings
    ) -> None:
        self._streams = streams
        self._health = health
        self._metrics = metrics
        self._samples = samples
        self._warnings = warnings
        self._started_at = time.monotonic()

    def inspect(self) -> Overview:
        """Collect the state of the task now."""
        now = time.monotonic()
        streams: Counter[str] = Counter()
        behind: Counter[str] = Counter()
        ages: dict[str, tuple[float, float]] = {}
        for stream in self._streams.snapshot():
            user, age = stream.principal.user, now - stream.opened_at
            streams[user] += 1
            behind[user] += not stream.idle
            # The snapshot is in order of opening, so a user's first stream is the oldest.
            ages[user] = ages.get(user, (age, age))[0], age
        return Overview(
            at=time.time(),
            up_seconds=now - self._started_at,
            draining=self._health.draining,
            troubles=self._health.troubles(),
            notes=self._health.notes(),
            streams=streams.total(),
            behind=behind.total(),
            user_count=len(streams),
            users=[
                UserStreams(user, number, *ages[user], behind[user]) for user, number in streams.most_common(MAX_USERS)
            ],
            counts=self._counts(),
            window=self._samples.window(),
            warnings=self._warnings.newest_first(),
        )

    def _counts(self) -> dict[str, float]:
        metrics = self._metrics
        return {
            "messages received": sum_samples(metrics.sqs_messages_received),
            "events stored": sum_samples(metrics.events_stored),
            "events delivered": sum_samples(metrics.events_delivered),
            "streams opened": sum_samples(metrics.streams_opened),
            "streams ended": sum_samples(metrics.streams_closed),
            "requests refused": sum_samples(metrics.requests_refused),
            "gaps sent": sum_samples(metrics.gaps),
            "slow readers cut": sum_samples(metrics.streams_closed, ("slow",)),
            "messages rejected": sum_samples(metrics.messages_rejected),
            "duplicates": sum_samples(metrics.duplicates),
            "failed calls to SQS": sum_samples(metrics.sqs_failures),
        }
