"""Waits for a condition by polling."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from tests.integration.process import DEADLINE


async def until(
    condition: Callable[[], object], what: str = "", *, seconds: float = DEADLINE, every: float = 0.005
) -> None:
    """Wait until the condition holds. ``what`` describes it if the wait fails."""
    try:
        async with asyncio.timeout(seconds):
            while not condition():  # noqa: ASYNC110  the condition sets no event
                await asyncio.sleep(every)
    except TimeoutError:
        raise AssertionError(f"not within {seconds:.0f} s: {what or condition}") from None
