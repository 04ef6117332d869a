"""Which addresses a URL may lead to."""

from __future__ import annotations

import ipaddress
import socket
from ipaddress import IPv4Address, IPv6Address

_Address = IPv4Address | IPv6Address

_FORBIDDEN = tuple(
    ipaddress.ip_network(network)
    for network in (
        "169.254.0.0/16",  # link-local: the metadata of EC2 instances and ECS tasks, credentials included
        "fe80::/10",  # link-local
        "fd00:ec2::/32",  # AWS's metadata and other local services over IPv6
        "0.0.0.0/32",  # "this host": Linux connects to itself
        "::/128",
    )
)

_EMBEDDING = tuple(
    ipaddress.IPv6Network(network)
    for network in (
        "::ffff:0:0/96",  # IPv4-mapped
        "::ffff:0:0:0/96",  # IPv4-translated (RFC 2765)
        "::/96",  # IPv4-compatible
        "64:ff9b::/96",  # NAT64 (RFC 6052)
        "64:ff9b:1::/48",  # NAT64 of a local network (RFC 8215)
    )
)
"""Networks whose addresses end with an IPv4 address."""


def is_loopback(host: str) -> bool:
    """Whether a host is this machine, where nobody is on the way who could change an answer."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def is_forbidden_host(host: str) -> bool:
    """Whether a URL's host is an address that no fetch may lead to: see ``is_forbidden_address``.

    Spellings of an IPv4 address that only some programs understand (``2852039166``, ``0xa9fea9fe``, ``169.254.43518``)
    are forbidden for every address. A name is not looked up.
    """
    host = host.removesuffix(".")
    try:
        return is_forbidden_address(host)
    except ValueError:
        pass
    try:
        socket.inet_aton(host)
    except (OSError, ValueError):
        return False
    return True


def is_forbidden_address(text: str) -> bool:
    """Whether an IP address is link-local, an instance's metadata, or "this host", in whatever IPv6 form.

    Raises ValueError for what is no IP address.
    """
    address = ipaddress.ip_address(text)
    return any(each in network for each in (address, *_embedded(address)) for network in _FORBIDDEN)


def _embedded(address: _Address) -> list[IPv4Address]:
    """List the IPv4 addresses that an IPv6 address stands for."""
    if isinstance(address, IPv4Address):
        return []
    found = [IPv4Address(int(address) & 0xFFFFFFFF)] if any(address in network for network in _EMBEDDING) else []
    return found + ([address.sixtofour] if address.sixtofour is not None else [])
