"""Waiting for what tells nobody that it has come."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from tests.integration.process import DEADLINE


async def until(
    condition: Callable[[], object], what: str = "", *, seconds: float = DEADLINE, every: float = 0.005
) -> None:
    """Wait until it holds; fails with what was waited for."""
    try:
        async with asyncio.timeout(seconds):
            while not condition():  # noqa: ASYNC110  what is waited for is state, which tells nobody
                await asyncio.sleep(every)
    except TimeoutError:
        raise AssertionError(f"not within {seconds:.0f} s: {what or condition}") from None
