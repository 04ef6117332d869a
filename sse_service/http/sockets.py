"""The listening sockets of both ports."""

from __future__ import annotations

import socket
from ipaddress import IPv4Network, IPv6Network

BACKLOG = 4096
"""How many connections may wait to be accepted. Linux limits this to net.core.somaxconn."""

SEND_BUFFER_BYTES = 64 * 1024
"""What the kernel may buffer for one reader (Linux doubles it). By default a stalled reader could take megabytes."""


def listen(host: str, port: int) -> socket.socket:
    """Open a listening socket. Raises OSError with a one-line message."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    sock = socket.socket(family, socket.SOCK_STREAM)
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        # Accepted connections inherit this.
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER_BYTES)
        sock.bind((host, port))
        sock.listen(BACKLOG)
    except OSError as error:
        sock.close()
        raise OSError(f"cannot listen on {host} port {port}: {error.strerror}") from error
    return sock


def listen_for_admin(host: str, port: int) -> socket.socket:
    """Open the socket of the admin port. Raises OSError with a one-line message that names the settings."""
    try:
        return listen(host, port)
    except OSError as error:
        raise OSError(f"{error} (SSE_ADMIN_HOST, SSE_ADMIN_PORT)") from error


def url(sock: socket.socket) -> str:
    """Return the URL of a listening socket."""
    host, port = sock.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def with_ipv4_mapped(network: IPv4Network | IPv6Network) -> list[IPv4Network | IPv6Network]:
    """Return the network; for IPv4, also its IPv4-mapped form, as seen by an IPv6 socket (RFC 4291 §2.5.5.2)."""
    if isinstance(network, IPv6Network):
        return [network]
    return [network, IPv6Network(f"::ffff:{network.network_address}/{96 + network.prefixlen}")]
