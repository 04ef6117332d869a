"""Opens streams and takes their network link down, so that the peers vanish without a FIN or a reset.

It runs in a separate network namespace, in which it creates a second one. It prints its findings as a line of JSON.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import sys
import time
from pathlib import Path
from typing import Any

from sse_service.auth.tokens.signing import TokenSigner
from tests.faults import network_namespace
from tests.faults.attacked_service import Service, service
from tests.faults.bystanders import Bystanders
from tests.faults.raw_clients import Stream, connect_all, request
from tests.integration.chain import SECRET
from tests.integration.until import until

HEARTBEAT_SECONDS = 5
"""The service notices a vanished peer by unacknowledged bytes. On a silent stream, these are the next heartbeat's."""

WATCH_SECONDS = 60.0

NEAR, FAR = "10.99.0.1", "10.99.0.2"

USERS = ("far and busy", "far and silent")
"""The first gets events all the time."""

EACH = 20


async def stay(port: int) -> None:
    """Run the far side: open the streams, report it, and continue to read."""
    tokens = TokenSigner(secret=SECRET)
    streams = [Stream(request(tokens.sign(user))) for user in USERS for _ in range(EACH)]
    await connect_all(port, streams, NEAR)
    await until(lambda: all(stream.ready for stream in streams), "all streams are ready")
    print("open", flush=True)
    await asyncio.Event().wait()


async def vanish() -> dict[str, Any]:
    """Run the near side: the service, and bystanders that do not use the link. Then take the link down."""
    network_namespace.ip("link", "set", "lo", "up")
    settings: dict[str, Any] = {"heartbeat_seconds": str(HEARTBEAT_SECONDS)}
    async with service(host="0.0.0.0", **settings) as running:
        bystanders = Bystanders(running, users=4, streams=2, silent=2, heartbeat=HEARTBEAT_SECONDS)
        async with bystanders.watching(rate=20):
            await running.metrics()
            before = running.descriptors
            far = await asyncio.create_subprocess_exec(
                *(
                    "unshare",
                    "--net",
                    *network_namespace.python("tests.faults.vanishing_peers", "--port", str(running.port)),
                ),
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
            )
            try:
                seen = await _watch(running, far)
            finally:
                with contextlib.suppress(ProcessLookupError):
                    far.kill()
                await far.wait()
            await bystanders.all_seen()
            bystanders.begin()
            return {
                **seen,
                "descriptors": [before, running.descriptors],
                "bystanders": bystanders.wrong,
                "traceback": "Traceback" in running.process.output,
            }


async def _watch(running: Service, far: asyncio.subprocess.Process) -> dict[str, Any]:
    assert far.stdin is not None
    assert far.stdout is not None
    # When it prints anything, it is in its own namespace.
    assert await far.stdout.readline() == b"here\n"
    network_namespace.ip("link", "add", "near", "type", "veth", "peer", "name", "far", "netns", str(far.pid))
    for name, address, of in (("near", NEAR, None), ("far", FAR, far.pid)):
        network_namespace.ip("addr", "add", f"{address}/24", "dev", name, of=of)
        network_namespace.ip("link", "set", name, "up", of=of)
    far.stdin.write(b"go\n")
    assert await far.stdout.readline() == b"open\n"
    streams = len(USERS) * EACH
    opened = kernel_sockets(running.port)
    network_namespace.ip("link", "set", "far", "down", of=far.pid)
    began = time.monotonic()
    cut: list[float] = []
    while len(cut) < streams and (gone := time.monotonic() - began) < WATCH_SECONDS:
        running.publish(USERS[0], "x" * 1000)
        await running.stub.notify()
        slow = int((await running.metrics())['sse_streams_closed_total{reason="slow"}'])
        cut += [round(gone, 1)] * (slow - len(cut))
        await asyncio.sleep(0.5)
    return {
        "streams": streams,
        "sockets": [opened, kernel_sockets(running.port)],
        "cut after seconds": cut,
        "open": (await running.metrics())["sse_streams_open"],
    }


def kernel_sockets(port: int) -> int:
    """Count the sockets between this port and the far side, in any state (proc_net_tcp(5))."""
    far = bytes(map(int, reversed(FAR.split(".")))).hex().upper()
    found = 0
    for line in Path("/proc/net/tcp").read_text().splitlines()[1:]:
        local, remote = line.split()[1:3]
        found += remote.startswith(f"{far}:") and int(local.rpartition(":")[2], 16) == port
    return found


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, help="be the far side, of the service at this port")
    given = parser.parse_args()
    if given.port is None:
        print(json.dumps(asyncio.run(vanish())))
    else:
        print("here", flush=True)
        sys.stdin.readline()
        asyncio.run(stay(given.port))
