"""Runs a service whose name server answers nothing, in a network namespace. Prints what the service said."""

from __future__ import annotations

import re
import select
import socket
import time
from pathlib import Path

from tests.faults import network_namespace
from tests.integration.process import DEADLINE, Process

LOOK_UP_SECONDS = 4
"""How long the C library waits for the name server: longer than an attempt to connect to Valkey may take."""


def name_servers() -> list[str]:
    return re.findall(r"^nameserver\s+([\d.]+)", Path("/etc/resolv.conf").read_text(), re.MULTILINE) or ["127.0.0.1"]


def take_questions(seconds: float) -> None:
    """Be all name servers of this machine, and answer nothing, until questions have come for so long."""
    servers = []
    for address in name_servers():
        if not address.startswith("127."):
            network_namespace.ip("address", "add", f"{address}/32", "dev", "lo")
        server = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        server.bind((address, 53))
        servers.append(server)
    env = {
        "AWS_REGION": "us-east-1",
        "AWS_ENDPOINT_URL": "http://127.0.0.1:9",
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "RES_OPTIONS": f"timeout:{LOOK_UP_SECONDS} attempts:1",
        "SSE_ADMIN_PORT": "0",
        "SSE_BROKER_URL": "redis://valkey.example.com:6379/0",
        "SSE_JWT_SECRET": "a-secret-of-the-tests-long-enough-for-HS256",
        "SSE_LOG_FORMAT": "text",
        "SSE_QUEUE_URL": "http://127.0.0.1:9/000000000000/events",
    }
    with Process("sse_service", "serve", "--port", "0", env=env) as service:
        first, last = None, 0.0
        while first is None or last - first < seconds:
            ready, _, _ = select.select(servers, [], [], DEADLINE)
            assert ready, service.output
            for server in ready:
                server.recv(512)
            last = time.monotonic()
            first = first or last
        print(service.output)


if __name__ == "__main__":
    network_namespace.ip("link", "set", "lo", "up")
    take_questions(3 * LOOK_UP_SECONDS)
