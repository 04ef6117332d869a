"""Searches for the highest rate that a service keeps up with, and for the rate that uses a share of its quota."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

P99_MS = 1_000
SOON = 0.5
"""Seconds after the last event for its deletion, which waits for a batch, and for one period of the quota."""
STEP = 1.25
CLOSE = 1.1
"""The search ends when the service keeps up with one rate and not with one that is higher by this factor."""
FULL_CORE = 0.9
"""From this share of its core on, the load generator may be the limit."""
NEAR = 0.03
"""Accepted distance from the wanted share of the quota."""


@dataclass(frozen=True, slots=True)
class Trial:
    """The result of one rate."""

    per_second: float
    p50_ms: float
    p99_ms: float
    late: float
    """Seconds by which the feed itself was late with the last event."""
    emptied: float
    """Seconds from the last event until the queue was empty."""
    quota: float
    """Share of the quota that was used."""
    throttled: float
    """Share of the periods in which the quota was used up."""
    load_core: float
    """Share of their core that the feed and the load generator used."""
    received: float
    """Events per receive."""

    @property
    def held(self) -> bool:
        """Whether the service kept up."""
        return self.p99_ms < P99_MS and self.emptied < SOON and self.late < SOON

    @property
    def load_limits(self) -> bool:
        """Whether the load generator may have been the limit."""
        return self.late >= SOON or self.load_core > FULL_CORE


def highest(attempt: Callable[[int], Trial], start: float, tries: int) -> list[Trial]:
    """Search for the highest rate, first in steps and then between two; return all trials."""
    tried: list[Trial] = []
    held, failed, rate = 0.0, math.inf, start
    while len(tried) < tries and failed > held * CLOSE:
        trial = attempt(max(round(rate), 1))
        tried.append(trial)
        if trial.held:
            held = rate
        else:
            failed = rate
        rate = held * STEP if failed == math.inf else failed / STEP if not held else math.sqrt(held * failed)
    return tried


def using(attempt: Callable[[int], Trial], share: float, trial: Trial, tries: int) -> Trial:
    """Search for the rate that uses ``share`` of the quota, starting from ``trial``; return the last trial."""
    for _ in range(tries):
        if abs(trial.quota - share) < NEAR:
            break
        trial = attempt(max(round(trial.per_second * share / trial.quota), 1))
    return trial
