"""The store's clock, which a test moves."""

from __future__ import annotations


class Clock:
    def __init__(self) -> None:
        self.now = 1_790_000_000.0

    def __call__(self) -> float:
        return self.now
