"""The attack by not reading: sockets that read nothing while large events are sent to them."""

from __future__ import annotations

import asyncio
import select
import socket
import time
from pathlib import Path

from tests.faults.attack_target import Outcome, Target
from tests.faults.raw_clients import request

CUT_SECONDS = 45.0
"""How long a stalled reader may stay."""

FILL_SECONDS = 5.0
"""Time to fill the kernel's buffers. After that, no byte is acknowledged."""

EVENT_BYTES = 100_000


async def never_read(target: Target, outcome: Outcome) -> None:
    """200 sockets of ten users that never read."""
    loop = asyncio.get_running_loop()
    users = [f"never reads {number}" for number in range(10)]
    socks = [_small_socket() for _ in range(target.count(200))]
    for number, sock in enumerate(socks):
        await loop.sock_connect(sock, ("127.0.0.1", target.port))
        await loop.sock_sendall(sock, request(target.token(users[number % len(users)])))
    outcome.sent = f"{len(socks)} sockets of {len(users)} users, {EVENT_BYTES // 1000} KB a second to each"
    outcome.begin()
    began = time.monotonic()
    cut: dict[socket.socket, float] = {}
    while len(cut) < len(socks) and time.monotonic() < began + FILL_SECONDS + CUT_SECONDS:
        await target.publish((user, "x" * EVENT_BYTES) for user in users)
        await asyncio.sleep(1)
        cut.update({sock: time.monotonic() - began for sock in _hung_up(socks) if sock not in cut})
    outcome.answers["cut"] = len(cut)
    if cut:
        outcome.notes.append(f"cut after {min(cut.values()):.0f} to {max(cut.values()):.0f} s")
    if len(cut) < len(socks):
        outcome.wrong.append(f"{len(socks) - len(cut)} were not cut within {CUT_SECONDS:.0f} s")
    if kept := kept_by_kernel(target.port, {sock.getsockname()[1] for sock in cut}):
        outcome.wrong.append(f"the kernel keeps {kept} of the service's sockets")
    for sock in socks:
        sock.close()


def kept_by_kernel(port: int, peers: set[int]) -> int:
    """Count the sockets between the service's port and these ports, in any state (proc_net_tcp(5))."""
    found = 0
    for line in Path("/proc/net/tcp").read_text().splitlines()[1:]:
        local, remote = (int(address.rpartition(":")[2], 16) for address in line.split()[1:3])
        found += local == port and remote in peers
    return found


def _hung_up(socks: list[socket.socket]) -> list[socket.socket]:
    """Return the sockets that the service has cut. It asks the kernel and reads nothing."""
    by_number = {sock.fileno(): sock for sock in socks}
    poll = select.poll()
    for number in by_number:
        poll.register(number, 0)  # errors and hang-ups are always reported
    return [by_number[number] for number, _ in poll.poll(0)]


def _small_socket() -> socket.socket:
    sock = socket.socket()
    # Set it before connecting, because the window is negotiated then.
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    sock.setblocking(False)
    return sock
