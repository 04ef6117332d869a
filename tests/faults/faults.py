"""The faults of a chaos run: each breaks something for a while and then repairs it."""

from __future__ import annotations

import asyncio
import signal
from collections import deque
from collections.abc import Awaitable, Callable
from typing import Any

from sse_service.brokers.valkey.prober import ARRIVAL_SECONDS, PROBE_SECONDS
from tests.faults.cluster import VISIBILITY_SECONDS, Cluster, until
from tests.integration.sqs_stub import Answer, LostReply
from tests.integration.valkey import Valkey

Fault = Callable[[Cluster, float], Awaitable[None]]
"""Is called with the cluster and the duration of the fault in seconds. Returns when the fault is repaired."""

FAULTS: dict[str, Fault] = {}

LOSES_DATA = {"valkey loses its data", "flush", "some keys removed", "failover without the tail", "valkey restarted"}
"""Faults after which a gap is legitimate: the store's data was lost, or may have been."""

LOSES_PUSHES = {"pushes swallowed"}
"""Faults after which a gap is legitimate for a stream that passed the lost event on another channel.

No network does this to an open TCP connection, but a broken proxy may."""

OVERLOADED = Answer(400, {"__type": "com.amazonaws.sqs#RequestThrottled", "message": "slow down"})


def fault(name: str) -> Callable[[Fault], Fault]:
    def register(function: Fault) -> Fault:
        FAULTS[name] = function
        return function

    return register


async def _replace(cluster: Cluster, how: signal.Signals) -> None:
    running = [task for task in cluster.tasks if task.process]
    task = cluster.random.choice(running)
    # Like a load balancer that notices a kill at once, and is told of a drain before it starts.
    ending = asyncio.create_task(task.end(how))
    await asyncio.sleep(0)
    cluster.rebalance()
    await ending
    await task.start()
    cluster.rebalance()


@fault("task killed")
async def task_killed(cluster: Cluster, hold: float) -> None:
    await _replace(cluster, signal.SIGKILL)


@fault("task drained")
async def task_drained(cluster: Cluster, hold: float) -> None:
    await _replace(cluster, signal.SIGTERM)


@fault("task frozen")
async def task_frozen(cluster: Cluster, hold: float) -> None:
    """Freeze a task for longer than the visibility timeout. Another task gets its messages, and it answers too late."""
    task = cluster.random.choice(cluster.tasks)
    task.signal(signal.SIGSTOP)
    await asyncio.sleep(max(hold, VISIBILITY_SECONDS + 2))
    task.signal(signal.SIGCONT)


@fault("pub/sub cut in a burst")
async def pubsub_cut(cluster: Cluster, hold: float) -> None:
    for _ in range(5):
        cluster.publish(100)
        await cluster.stub.notify()
        await asyncio.sleep(0.1)
        with cluster.valkey.client() as client:
            await asyncio.to_thread(client.execute_command, "CLIENT", "KILL", "TYPE", "pubsub")


@fault("small output buffers")
async def small_buffers(cluster: Cluster, hold: float) -> None:
    await _valkey(cluster, "CONFIG", "SET", "client-output-buffer-limit", "pubsub 16kb 8kb 1")
    cluster.publish(1000)
    await cluster.stub.notify()
    await asyncio.sleep(hold)
    await _valkey(cluster, "CONFIG", "SET", "client-output-buffer-limit", "pubsub 32mb 8mb 60")


@fault("valkey frozen")
async def valkey_frozen(cluster: Cluster, hold: float) -> None:
    cluster.valkey.signal(signal.SIGSTOP)
    await asyncio.sleep(hold)
    cluster.valkey.signal(signal.SIGCONT)


@fault("valkey restarted")
async def valkey_restarted(cluster: Cluster, hold: float) -> None:
    cluster.valkey.kill()
    await asyncio.sleep(hold / 2)
    await asyncio.to_thread(cluster.valkey.start)


@fault("valkey loses its data")
async def valkey_loses_its_data(cluster: Cluster, hold: float) -> None:
    cluster.valkey.kill()
    cluster.valkey.lose_data()
    await asyncio.to_thread(cluster.valkey.start)


@fault("flush")
async def flush(cluster: Cluster, hold: float) -> None:
    await _valkey(cluster, "FLUSHALL")


@fault("some keys removed")
async def some_keys(cluster: Cluster, hold: float) -> None:
    keys = sorted(await _valkey(cluster, "KEYS", "*"))
    metadata = [key for key in keys if ":history:" not in key]
    chosen = [cluster.random.choice(metadata)] if cluster.random.random() < 0.5 else []
    chosen += cluster.random.sample(keys, min(len(keys), 3))
    await _valkey(cluster, "UNLINK", *chosen)


@fault("valkey refuses")
async def valkey_refuses(cluster: Cluster, hold: float) -> None:
    for task in cluster.tasks:
        task.proxy.mode = "refuse"
        task.proxy.cut()
    await asyncio.sleep(hold)
    for task in cluster.tasks:
        task.proxy.mode = "pass"


@fault("black hole")
async def black_hole(cluster: Cluster, hold: float) -> None:
    """One task's connection to Valkey accepts bytes and returns none."""
    proxy = cluster.random.choice(cluster.tasks).proxy
    proxy.mode = "black hole"
    await asyncio.sleep(hold)
    proxy.mode = "pass"
    # Bytes were lost, so no connection can continue.
    proxy.cut()


@fault("pushes swallowed")
async def pushes_swallowed(cluster: Cluster, hold: float) -> None:
    """Lose messages three times for less than a probe's interval, and once for longer.

    Clients stay connected: one that disconnects before the next probe may already have an id after the lost event.
    """
    for client in cluster.clients:
        client.calm = True
    for seconds in (*(cluster.random.uniform(0.05, 0.9) for _ in range(3)), cluster.random.uniform(1, max(hold, 1))):
        proxy = cluster.random.choice(cluster.tasks).proxy
        proxy.swallow = True
        await asyncio.sleep(seconds)
        proxy.swallow = False
        await asyncio.sleep(PROBE_SECONDS + ARRIVAL_SECONDS)
    for client in cluster.clients:
        client.calm = False


@fault("slow way to valkey")
async def slow_way(cluster: Cluster, hold: float) -> None:
    for task in cluster.tasks:
        task.proxy.delay = 0.05
    await asyncio.sleep(hold)
    for task in cluster.tasks:
        task.proxy.delay = 0.0


@fault("failover without the tail")
async def failover(cluster: Cluster, hold: float) -> None:
    """A replica that loses its master some time before it takes over."""
    new = Valkey(persistent=True)
    old = cluster.valkey
    await asyncio.to_thread(new.start)
    with new.client() as client:
        await asyncio.to_thread(client.execute_command, "REPLICAOF", "127.0.0.1", str(old.port))
        await until(lambda: client.info("replication")["master_link_status"] == "up", "the replica is in sync")
        await asyncio.to_thread(client.execute_command, "REPLICAOF", "NO", "ONE")
    await asyncio.sleep(min(hold, 2))
    for task in cluster.tasks:
        task.proxy.switch(new.port)
    cluster.replace_valkey(new)


@fault("queue repeats and reorders")
async def queue_repeats(cluster: Cluster, hold: float) -> None:
    for _ in range(5):
        await cluster.stub.redeliver()
        waiting = list(cluster.stub.waiting)
        cluster.random.shuffle(waiting)
        cluster.stub.waiting = deque(waiting)
        await asyncio.sleep(hold / 5)


@fault("queue throttles")
async def queue_throttles(cluster: Cluster, hold: float) -> None:
    cluster.stub.faults["ReceiveMessage"] = deque([OVERLOADED] * 6)
    cluster.stub.faults["DeleteMessageBatch"] = deque([OVERLOADED] * 3)
    await asyncio.sleep(hold)
    cluster.stub.faults.clear()


@fault("queue fails in part")
async def queue_fails_in_part(cluster: Cluster, hold: float) -> None:
    failed: dict[str, Any] = {"Successful": [], "Failed": [{"Id": "0", "SenderFault": False, "Code": "InternalError"}]}
    cluster.stub.faults["DeleteMessageBatch"] = deque([Answer(200, failed)] * 3)
    await asyncio.sleep(hold)
    cluster.stub.faults.clear()


@fault("delete's reply lost")
async def delete_reply_lost(cluster: Cluster, hold: float) -> None:
    cluster.stub.faults["DeleteMessageBatch"] = deque([LostReply()] * 5)
    await asyncio.sleep(hold)
    cluster.stub.faults.clear()


@fault("queue away")
async def queue_away(cluster: Cluster, hold: float) -> None:
    cluster.stub.unreachable = True
    await asyncio.sleep(hold)
    cluster.stub.unreachable = False


@fault("clients cut")
async def clients_cut(cluster: Cluster, hold: float) -> None:
    cluster.balancer.cut()


async def _valkey(cluster: Cluster, *command: str) -> Any:
    with cluster.valkey.client() as client:
        return await asyncio.to_thread(client.execute_command, *command)
