"""Runs tests of connections on both event loops."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any

import pytest
import uvloop

from tests.integration.process import DEADLINE
from tests.unit.serving import Run


@pytest.fixture(params=[asyncio.run, uvloop.run], ids=["asyncio", "uvloop"])
def run(request: pytest.FixtureRequest) -> Run:
    """Runs a coroutine on asyncio's loop and on uvloop, with a deadline."""

    async def bounded(body: Coroutine[Any, Any, None]) -> None:
        async with asyncio.timeout(DEADLINE):
            await body

    return lambda body: request.param(bounded(body))
