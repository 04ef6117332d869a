"""The pacer admits a crowd a few at a time, in order."""

from __future__ import annotations

import asyncio

from sse_service.http.pacer import Pacer
from tests.integration.process import DEADLINE


def test_a_single_request_does_not_wait() -> None:
    async def body() -> None:
        pacer = Pacer(per_turn=2)
        for _ in range(10):
            waiting = pacer.wait()
            try:
                waiting.send(None)
            except StopIteration:
                pass
            else:
                raise AssertionError("the request waited")
            await asyncio.sleep(0)
            await asyncio.sleep(0)

    asyncio.run(body())


def test_a_crowd_is_admitted_in_order_and_in_limited_numbers() -> None:
    passed: list[int] = []

    async def one(pacer: Pacer, number: int) -> None:
        await pacer.wait()
        passed.append(number)

    async def body() -> None:
        pacer = Pacer(per_turn=3)
        crowd = [asyncio.create_task(one(pacer, number)) for number in range(30)]
        seen = 0
        while seen < 30:
            await asyncio.sleep(0)
            assert len(passed) - seen <= 3
            seen = len(passed)
        await asyncio.gather(*crowd)

    asyncio.run(body())
    assert passed == list(range(30))


def test_a_cancelled_request_does_not_hold_up_the_others() -> None:
    async def body() -> None:
        pacer = Pacer(per_turn=1)
        await pacer.wait()
        gone = [asyncio.create_task(pacer.wait()) for _ in range(5)]
        staying = asyncio.create_task(pacer.wait())
        await asyncio.sleep(0)
        for task in gone:
            task.cancel()
        async with asyncio.timeout(DEADLINE):
            await staying

    asyncio.run(body())
