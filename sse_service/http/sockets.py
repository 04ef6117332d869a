"""The listening sockets of both ports."""

from __future__ import annotations

import socket
from ipaddress import IPv4Network, IPv6Network

BACKLOG = 4096
"""Connections that wait to be accepted; Linux cuts it to net.core.somaxconn."""

SEND_BUFFER_BYTES = 64 * 1024
"""What the kernel may hold for one reader (it takes twice of it); without it, one that stalls swallows megabytes."""


def listen(host: str, port: int) -> socket.socket:
    """Open the listening socket; raises OSError, with one line to show."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    sock = socket.socket(family, socket.SOCK_STREAM)
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        # Inherited by every connection that is accepted.
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER_BYTES)
        sock.bind((host, port))
        sock.listen(BACKLOG)
    except OSError as error:
        sock.close()
        raise OSError(f"cannot listen on {host} port {port}: {error.strerror}") from error
    return sock


def listen_for_admin(host: str, port: int) -> socket.socket:
    """Open the admin port's socket; raises OSError, with one line to show."""
    try:
        return listen(host, port)
    except OSError as error:
        raise OSError(f"{error} (SSE_ADMIN_HOST, SSE_ADMIN_PORT)") from error


def url(sock: socket.socket) -> str:
    """Where a listening socket is reached."""
    host, port = sock.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def with_mapped(network: IPv4Network | IPv6Network) -> list[IPv4Network | IPv6Network]:
    """The network, and as which its addresses come to a socket of IPv6 (RFC 4291 §2.5.5.2)."""
    if isinstance(network, IPv6Network):
        return [network]
    return [network, IPv6Network(f"::ffff:{network.network_address}/{96 + network.prefixlen}")]
