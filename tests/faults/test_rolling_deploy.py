"""Tasks of the previous release and of this one run side by side, as in each rolling deploy."""

from __future__ import annotations

import asyncio
import signal

from tests.faults.client import events
from tests.faults.cluster import Cluster, until

PREVIOUS, THIS = ("tests.faults.previous_service",), ("sse_service",)


async def replace(cluster: Cluster, program: tuple[str, ...]) -> None:
    """Replace each task by one of another release, while events flow."""
    for task in cluster.tasks:
        # The balancer sends nobody to a task that ends.
        cluster.balancer.upstreams = [other.port for other in cluster.tasks if other is not task]
        assert await task.end(signal.SIGTERM) == 0
        task.use(program)
        await task.start()
        cluster.rebalance()
        marks = [len(events(client.seen)) for client in cluster.clients]
        await until(
            lambda marks=marks: all(
                len(events(client.seen)) > mark for client, mark in zip(cluster.clients, marks, strict=True)
            ),
            "everybody has new events",
        )


def test_while_two_releases_share_a_store_nothing_is_lost_doubled_or_out_of_order_and_there_is_no_gap() -> None:
    async def test() -> None:
        async with Cluster(seed=1, tasks=2, users=10, rate=200, program=PREVIOUS) as cluster:
            await replace(cluster, THIS)
            await cluster.settle()
            assert cluster.violations(gaps_allowed=()) == []

    asyncio.run(test())
