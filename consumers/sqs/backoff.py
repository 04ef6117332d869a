"""How long to wait before the next attempt."""

from __future__ import annotations

import random


def backoff(failures: int, cap_seconds: float) -> float:
    """Return the seconds to wait after this many failures in a row.

    Full jitter: a random time below 0.4 s after the first failure, and below twice as much after each further one, up
    to the cap.
    """
    return random.uniform(0, min(cap_seconds, 0.2 * 2 ** min(failures, 20)))  # noqa: S311  spreads load, hides nothing
