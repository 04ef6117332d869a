"""A client of each protocol with one interface: it yields blocks, from wherever a client of another protocol was."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass, field

import aiohttp

from sse_service.tail.blocks import Block, Lost, Refused
from sse_service.tail.listeners import LISTENERS, Request, blocks_of, check
from tests.integration.chain import Chain
from tests.integration.process import DEADLINE

POLL_SECONDS = 0.05


async def short_polls(session: aiohttp.ClientSession, request: Request) -> AsyncGenerator[Block, None]:
    """Polls that do not wait, one after the other. Yields what each brings, as a stream would."""
    query, greeted = dict(request.query), False
    while True:
        async with session.get(f"{request.url}/events/poll", params=query, headers=request.headers) as answer:
            await check(answer, "application/json")
            ready, *rest = blocks_of(await answer.read())
        for block in rest if greeted else [ready, *rest]:
            yield block
        greeted = True
        query["lastEventId"] = rest[-1].id or ""
        await asyncio.sleep(POLL_SECONDS)


PROTOCOLS: dict[str, Callable[[aiohttp.ClientSession, Request], AsyncGenerator[Block, None]]] = {
    "sse": LISTENERS["sse"],
    "websocket": LISTENERS["websocket"],
    "long polling": LISTENERS["polling"],
    "polling": short_polls,
}
"""To add a protocol to the suite, add its client here."""


@dataclass
class Listening:
    """What one client has got so far."""

    blocks: AsyncGenerator[Block, None]
    events: list[Block] = field(default_factory=list)
    """All that are not the service's own."""
    services: list[Block] = field(default_factory=list)
    cursor: str = ""

    @property
    def data(self) -> list[str]:
        return [each.data for each in self.events]

    def reasons(self, event: str) -> list[str]:
        """Return the reasons of the service events of this name."""
        return [json.loads(each.data)["reason"] for each in self.services if each.event == event]

    async def until(self, done: Callable[[Listening], bool]) -> Listening:
        """Listen until the condition holds. Raises Lost and Refused, and StopAsyncIteration at the end."""
        async with asyncio.timeout(DEADLINE):
            while not done(self):
                block = await anext(self.blocks)
                self.cursor = block.id or self.cursor
                (self.services if block.event.startswith("stream.") else self.events).append(block)
        return self

    async def events_until(self, count: int) -> Listening:
        """Listen until so many events have come."""
        return await self.until(lambda self: len(self.events) >= count)

    async def end(self) -> Exception:
        """Listen until the connection has ended, and return how."""
        try:
            await self.until(lambda _: False)
        except (Lost, Refused, StopAsyncIteration, aiohttp.ClientError) as error:
            return error
        raise AssertionError


@asynccontextmanager
async def listening(
    chain: Chain, protocol: str, user: str, *, token: str = "", ttl_seconds: int = 3600, **query: str
) -> AsyncIterator[Listening]:
    """Listen as this user."""
    token = token or chain.signer.sign(user, ttl_seconds=ttl_seconds)
    async with (
        aiohttp.ClientSession() as session,
        aclosing(PROTOCOLS[protocol](session, Request(chain.url, token, query))) as blocks,
    ):
        yield Listening(blocks)
