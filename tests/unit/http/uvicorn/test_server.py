"""What a server is set up with."""

from __future__ import annotations

from ipaddress import IPv4Network, IPv6Network, ip_address

import pytest

from sse_service.http.sockets import with_ipv4_mapped
from sse_service.http.uvicorn.connection_limit import ConnectionLimit
from sse_service.http.uvicorn.server import make_config
from sse_service.telemetry.health import Health


def test_trusted_networks_of_ipv4_hold_on_a_socket_of_ipv6_too() -> None:
    v4, mapped = with_ipv4_mapped(IPv4Network("10.1.0.0/16"))
    assert ip_address("10.1.2.3") in v4
    assert ip_address("::ffff:10.1.2.3") in mapped
    assert ip_address("::ffff:10.2.2.3") not in mapped
    assert with_ipv4_mapped(IPv6Network("fd00::/8")) == [IPv6Network("fd00::/8")]


@pytest.mark.parametrize("text", ["", "4", "many"])
def test_a_variable_for_other_servers_is_not_read(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    monkeypatch.setenv("WEB_CONCURRENCY", text)
    assert (
        make_config(
            None, limit=ConnectionLimit(connections=1, port_name="public"), health=Health(dependencies={})
        ).workers
        == 1
    )
