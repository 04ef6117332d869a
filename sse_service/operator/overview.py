"""What the operator's page shows of a task, at one moment."""

from __future__ import annotations

import time
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

from sse_service.telemetry.metrics import slots, total

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from sse_service.operator.recent import Line, Recent
    from sse_service.streams.registry import StreamRegistry
    from sse_service.telemetry.health import Health
    from sse_service.telemetry.metrics import Metrics

USERS = 50
"""Users that are shown: those with the most streams."""


@dataclass(frozen=True, slots=True)
class UserStreams:
    """The open streams of one user."""

    user: str
    streams: int
    oldest_seconds: float
    newest_seconds: float
    behind: int
    """Streams that are being read from history, or whose reader holds back."""


@dataclass(frozen=True, slots=True)
class Overview:
    """One moment of a task."""

    at: float
    """Seconds since 1970."""
    up_seconds: float
    draining: bool
    troubles: Mapping[str, str | None]
    streams: int
    behind: int
    users: Sequence[UserStreams]
    users_not_shown: int
    counts: Mapping[str, float]
    """Totals since the start, by what is counted."""
    delays: Sequence[tuple[float, float]]
    """Edges in seconds of the delays from publish to write, with how often each was met since the start."""
    errors: Sequence[Line]


class Observer:
    """Looks at a task's parts."""

    def __init__(self, *, streams: StreamRegistry, health: Health, metrics: Metrics, recent: Recent) -> None:
        self._streams = streams
        self._health = health
        self._metrics = metrics
        self._recent = recent
        self._began = time.monotonic()

    def look(self) -> Overview:
        """Give what there is to see now."""
        now = time.monotonic()
        number: Counter[str] = Counter()
        late: Counter[str] = Counter()
        ages: dict[str, tuple[float, float]] = {}
        for stream in self._streams.snapshot():
            user, age = stream.principal.user, now - stream.opened_at
            number[user] += 1
            late[user] += not stream.idle
            # In order of opening: the first is the oldest.
            ages[user] = ages.get(user, (age, age))[0], age
        return Overview(
            at=time.time(),
            up_seconds=now - self._began,
            draining=self._health.draining,
            troubles=self._health.troubles(),
            streams=number.total(),
            behind=late.total(),
            users=[UserStreams(user, count, *ages[user], late[user]) for user, count in number.most_common(USERS)],
            users_not_shown=max(len(number) - USERS, 0),
            counts=self._counts(),
            delays=slots(self._metrics.publish_to_write_seconds),
            errors=self._recent.newest(),
        )

    def _counts(self) -> dict[str, float]:
        counted = self._metrics
        return {
            "messages received": total(counted.sqs_messages_received),
            "events stored": total(counted.events_stored),
            "events delivered": total(counted.events_delivered),
            "streams opened": total(counted.streams_opened),
            "streams ended": total(counted.streams_closed),
            "requests refused": total(counted.requests_refused),
            "gaps told": total(counted.gaps),
            "slow readers cut": total(counted.streams_closed, ("slow",)),
            "messages rejected": total(counted.messages_rejected),
            "duplicates": total(counted.duplicates),
            "calls to SQS failed": total(counted.sqs_failures),
        }
