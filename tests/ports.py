"""Ports for the servers that tests start."""

from __future__ import annotations

import contextlib
import random
import socket

_RANDOM = random.SystemRandom()


def free_port() -> int:
    """Return a port that nobody listens on, below those that the kernel gives to whoever asks for any (32768 to 60999).

    One of those could be given to another process before ours listens on it.
    """
    while True:
        port = _RANDOM.randrange(20_000, 32_000)
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port
