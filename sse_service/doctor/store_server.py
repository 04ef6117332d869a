"""Asks the store's server what it is."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING

from sse_service.doctor.report import Finding, fail
from sse_service.doctor.store import Server, judge_fault, judge_memory, judge_server
from sse_service.model.errors import Unavailable

if TYPE_CHECKING:
    from sse_service.settings.settings import Settings

TRIPS = 5
"""Of so many the shortest counts: the first waits for more than the network."""


async def look(settings: Settings) -> list[Finding]:
    """What there is to say of the store."""
    if settings.in_memory:
        return [judge_memory()]
    try:
        from sse_service.brokers.valkey.pipeline import FAULTS
    except ImportError:
        return [fail("store", "the package for it is not there", "pip install 'sse-service[redis]'")]
    try:
        return judge_server(await _ask(settings.store_url), settings)
    except (Unavailable, *FAULTS) as error:
        return [judge_fault(error, tls=settings.store_url.startswith("rediss://"))]


async def _ask(url: str) -> Server:
    from sse_service.brokers.valkey.pipeline import CALL_SECONDS, connect
    from sse_service.brokers.valkey.requirements import parse

    async with connect(url) as connection, asyncio.timeout(CALL_SECONDS):
        await connection.send_command("INFO", check_health=False)
        info = parse(await connection.read_response(disable_decoding=True))
        trips = []
        for _ in range(TRIPS):
            began = time.perf_counter()
            await connection.send_command("PING", check_health=False)
            await connection.read_response(disable_decoding=True)
            trips.append(time.perf_counter() - began)
    return Server(info, min(trips) * 1000)
