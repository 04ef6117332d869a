"""How long to wait before the next try."""

from __future__ import annotations

import random


def backoff(failures: int, cap_seconds: float) -> float:
    """Seconds to wait after so many failures in a row: full jitter below 0.4 s, doubled by each failure, to the cap."""
    return random.uniform(0, min(cap_seconds, 0.2 * 2 ** min(failures, 20)))  # noqa: S311  spreads load, hides nothing
