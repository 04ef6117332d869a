"""The authenticated user behind a request."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Principal:
    """An authenticated user."""

    user: str
    groups: tuple[str, ...]
    expires: int
    """Seconds since 1970. A stream of this user ends then at the latest."""
