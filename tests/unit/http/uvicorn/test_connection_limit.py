"""A port refuses connections beyond its limit."""

from __future__ import annotations

from contextlib import suppress

import pytest

from sse_service.http.uvicorn.connection_limit import ConnectionLimit
from tests.unit.http.uvicorn.apps import GET, plain_app
from tests.unit.serving import Run, client, serving
from tests.unit.task import wait_until


def test_connections_beyond_the_limit_are_closed_and_logged(run: Run, caplog: pytest.LogCaptureFixture) -> None:
    async def body() -> None:
        async with serving(plain_app, limit=ConnectionLimit(connections=1, port_name="public")) as server:
            async with client(server) as (first, writer):
                await wait_until(lambda: len(server.server_state.connections) == 1)
                for _ in range(3):
                    async with client(server) as (second, _):
                        with suppress(ConnectionError):
                            assert await second.read() == b""
                writer.write(GET)
                assert (await first.readline()).startswith(b"HTTP/1.1 200 ")
            await wait_until(lambda: not server.server_state.connections)
            async with client(server) as (third, writer):
                writer.write(GET)
                assert (await third.readline()).startswith(b"HTTP/1.1 200 ")

    run(body())
    assert [record.message for record in caplog.records if "descriptors" in record.message] == [
        "the public port is at its limit of 1 connections and has refused 1: raise the limit of file descriptors "
        "(ulimit -n), or run more tasks"
    ]
