"""The configuration of servers."""

from __future__ import annotations

from ipaddress import IPv4Network, IPv6Network, ip_address

import pytest

from sse_service.http.sockets import with_ipv4_mapped
from sse_service.http.uvicorn.connection_limit import ConnectionLimit
from sse_service.http.uvicorn.server import make_config
from sse_service.telemetry.health import Health


def test_a_trusted_ipv4_network_is_also_trusted_in_its_ipv4_mapped_form() -> None:
    v4, mapped = with_ipv4_mapped(IPv4Network("10.1.0.0/16"))
    assert ip_address("10.1.2.3") in v4
    assert ip_address("::ffff:10.1.2.3") in mapped
    assert ip_address("::ffff:10.2.2.3") not in mapped
    assert with_ipv4_mapped(IPv6Network("fd00::/8")) == [IPv6Network("fd00::/8")]


@pytest.mark.parametrize("text", ["", "4", "many"])
def test_web_concurrency_is_ignored(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    monkeypatch.setenv("WEB_CONCURRENCY", text)
    assert (
        make_config(
            None, limit=ConnectionLimit(connections=1, port_name="public"), health=Health(dependencies={})
        ).workers
        == 1
    )
