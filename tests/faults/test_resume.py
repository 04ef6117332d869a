"""Clients that are cut off at random, again and again, get exactly the published events."""

from __future__ import annotations

import asyncio
import random

from sse_service.auth.tokens.signing import TokenSigner
from tests.faults.checker import event_id, position
from tests.faults.client import Client, events
from tests.faults.cluster import Cluster, say, until
from tests.integration.chain import SECRET

SEED = random.SystemRandom().randrange(2**32)

READERS = 1000


def test_a_thousand_clients_cut_at_random_bytes_each_get_everything_once_in_order() -> None:
    async def test() -> None:
        say(f"seed {SEED}")
        async with Cluster(seed=SEED, tasks=2, users=2, rate=0) as cluster:
            cluster.publish(100)
            await cluster.stub.notify()
            await until(lambda: len(cluster.acknowledged()) == 100, "all events are stored")
            token = TokenSigner(secret=SECRET).sign(cluster.clients[0].user, groups=["ops"])
            channels = frozenset({f"user:{cluster.clients[0].user}", "group:ops", "broadcast"})
            expected = {event.id for event in cluster.published.values() if event.channels & channels}
            agreed: list[str] = []
            gate = asyncio.Semaphore(50)

            async def read(seed: int) -> None:
                reader = Client(
                    name=f"reader {seed}",
                    user=cluster.clients[0].user,
                    channels=channels,
                    port=cluster.balancer.port,
                    token=token,
                    random=random.Random(seed),
                    cut_every=8_000,
                    since="all",
                )
                async with gate:
                    reading = asyncio.create_task(reader.run())
                    try:
                        what = f"{reader.name} has all"
                        await until(lambda: {event_id(b) for b in events(reader.seen)} == expected, what)
                    finally:
                        reading.cancel()
                        await asyncio.gather(reading, return_exceptions=True)
                assert all(b.type != "stream.gap" for b in reader.seen), reader.seen
                offsets = [position(block).offset for block in events(reader.seen)]
                assert offsets == sorted(set(offsets)), reader.name
                seen = [event_id(block) for block in events(reader.seen)]
                agreed.extend(seen if not agreed else [])
                assert seen == agreed, reader.name

            async with asyncio.TaskGroup() as readers:
                for number in range(READERS):
                    readers.create_task(read(SEED + number))

    asyncio.run(test())


def test_clients_that_leave_during_a_replay_never_get_each_others_bytes() -> None:
    async def test() -> None:
        say(f"seed {SEED}")
        async with Cluster(seed=SEED, tasks=2, users=50, rate=200) as cluster:
            for task in cluster.tasks:
                task.proxy.delay = 0.05
            for client in cluster.clients:
                client.cut_every = 1_500
            before = sum(client.connections for client in cluster.clients)
            await until(
                lambda: sum(client.connections for client in cluster.clients) > before + 800, "clients come and go"
            )
            for task in cluster.tasks:
                task.proxy.delay = 0.0
            await cluster.settle()
            assert not cluster.violations(gaps_allowed=())
            assert all("Traceback" not in task.output for task in cluster.tasks)

    asyncio.run(test())
