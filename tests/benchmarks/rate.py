"""The rate of events that a service holds, and the one that uses a share of its quota."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

P99_MS = 1_000
SOON = 0.5
"""Seconds after the last event that its deletion, which waits for company, and a quota's period may take."""
STEP = 1.25
CLOSE = 1.1
"""The search ends where a rate is held and one that is so many times higher is not."""
FULL_CORE = 0.9
"""A share of the load's core from which it may be what limits."""
NEAR = 0.03
"""Of a share of the quota that is looked for."""


@dataclass(frozen=True, slots=True)
class Trial:
    """What came of a rate."""

    per_second: float
    p50_ms: float
    p99_ms: float
    late: float
    """Seconds that the feed itself was late with the last event."""
    emptied: float
    """Seconds from the last event until the queue was empty."""
    quota: float
    """Share of the quota that was used."""
    throttled: float
    """Share of the quota's periods that ended without CPU."""
    load_core: float
    """Share of their core that the feed and the load used."""
    received: float
    """Events of one receive."""

    @property
    def held(self) -> bool:
        """Whether the service kept pace."""
        return self.p99_ms < P99_MS and self.emptied < SOON and self.late < SOON

    @property
    def load_limits(self) -> bool:
        """Whether it may have been the load that did not keep pace."""
        return self.late >= SOON or self.load_core > FULL_CORE


def highest(attempt: Callable[[int], Trial], start: float, tries: int) -> list[Trial]:
    """Look for the highest rate that is held, by steps and then between two; all that was tried."""
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
    """Look for the rate that uses such a share of the quota, from a trial on; the last that was tried."""
    for _ in range(tries):
        if abs(trial.quota - share) < NEAR:
            break
        trial = attempt(max(round(trial.per_second * share / trial.quota), 1))
    return trial
