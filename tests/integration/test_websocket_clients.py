"""Other people's WebSocket clients get the service's events."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from queue import Queue
from typing import Any

import aiohttp
import pytest
import websockets

from tests.deploy.examples.files import NODE
from tests.integration.chain import Chain, service
from tests.integration.node import attempt
from tests.integration.process import DEADLINE
from tests.integration.test_stream import user

PROTOCOL = "sse-service.v1"
SCRIPT = Path(__file__).with_name("websocket_client.mjs")
RECONNECTING = "reconnecting-websocket"


def socket_url(chain: Chain, query: str = "") -> str:
    return chain.url.replace("http", "ws", 1) + "/ws" + query


def token(chain: Chain, name: str) -> str:
    return chain.headers(name)["Authorization"].removeprefix("Bearer ")


# Python: websockets and aiohttp


def connect(chain: Chain, name: str, query: str = "") -> Any:
    return websockets.connect(
        socket_url(chain, query), proxy=None, additional_headers=chain.headers(name), subprotocols=[PROTOCOL]
    )


async def wait_for(socket: Any, what: str) -> dict[str, Any]:
    """Return the next message that has this event or these data."""
    async with asyncio.timeout(DEADLINE):
        while True:
            message: dict[str, Any] = json.loads(await socket.recv())
            if what in (message.get("event"), message["data"]):
                return message


def test_websockets_gets_events_and_answers_to_its_pings_and_closes_cleanly(chain: Chain) -> None:
    async def test() -> None:
        name = user()
        async with connect(chain, name) as socket:
            assert socket.subprotocol == PROTOCOL
            await wait_for(socket, "stream.ready")
            chain.put("two\nlines", user_id=name, event_type="upload.done")
            assert (await wait_for(socket, "upload.done"))["data"] == "two\nlines"
            async with asyncio.timeout(DEADLINE):
                await (await socket.ping())
        assert socket.close_code == 1000

    asyncio.run(test())
    chain.wait_for_metric("sse_streams_open", 0)


def test_a_socket_resumes_where_a_stream_has_ended(chain: Chain) -> None:
    async def test() -> None:
        name = user()
        with chain.stream(name) as stream:
            chain.put("a", user_id=name)
            cursor = stream.wait_for("a").id
        chain.put("b", user_id=name)
        async with connect(chain, name, f"?lastEventId={cursor}") as socket:
            ready = await wait_for(socket, "stream.ready")
            assert json.loads(ready["data"])["resumed"] is True
            assert (await wait_for(socket, "b"))["data"] == "b"

    asyncio.run(test())


def test_aiohttp_gets_events_pings_and_heartbeats(chain: Chain) -> None:
    async def test() -> None:
        name = user()
        async with (
            aiohttp.ClientSession(headers=chain.headers(name)) as session,
            # It offers compression, which is not accepted.
            session.ws_connect(
                socket_url(chain, "?heartbeat=event"), autoping=False, compress=15, protocols=[PROTOCOL]
            ) as socket,
        ):
            assert socket.compress == 0
            kinds = set()
            async with asyncio.timeout(DEADLINE):
                while kinds != {"ping", "stream.ready", "stream.heartbeat"}:
                    message = await socket.receive()
                    kinds.add("ping" if message.type is aiohttp.WSMsgType.PING else message.json()["event"])

    asyncio.run(test())


# JavaScript


class Client:
    """A running ``websocket_client.mjs``."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._lines: Queue[str] = Queue()
        assert process.stdout is not None
        self._stdout = process.stdout
        threading.Thread(target=self._read, daemon=True).start()

    def next(self) -> dict[str, Any]:
        """Wait for the next object that it prints."""
        found: dict[str, Any] = json.loads(self._lines.get(timeout=DEADLINE))
        return found

    def wait_for(self, event: str) -> dict[str, Any]:
        """Wait for the next event of this type."""
        while (found := self.next()).get("event") != event:
            pass
        return found

    def _read(self) -> None:
        for line in self._stdout:
            self._lines.put(line)


@contextmanager
def node(chain: Chain, name: str, *module: str, folder: Path = SCRIPT.parent) -> Iterator[Client]:
    """Run a client in Node.js."""
    script = shutil.copy(SCRIPT, folder) if folder != SCRIPT.parent else SCRIPT
    command = [NODE, script, socket_url(chain), token(chain, name), *module]
    with subprocess.Popen(command, cwd=folder, stdout=subprocess.PIPE, text=True) as process:
        try:
            yield Client(process)
        finally:
            process.kill()


def test_nodes_own_websocket_sends_its_token_and_gets_events_and_the_close_code(chain: Chain) -> None:
    name = user()
    with node(chain, name) as client:
        assert client.next() == {"opened": PROTOCOL, "extensions": ""}
        client.wait_for("stream.ready")
        chain.put("x" * 70_000, user_id=name, event_type="large")
        assert len(client.wait_for("large")["data"]) == 70_000
        assert chain.client.post(f"{chain.admin}/revoke", json={"user": name}).json()["streams"] == 1
        client.wait_for("stream.close")
        assert client.next() == {"closed": 4401, "reason": "revoked", "wasClean": True}


@pytest.fixture(scope="module")
def modules(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with ``reconnecting-websocket``."""
    folder = tmp_path_factory.mktemp("modules")
    (folder / "package.json").write_text('{"private": true}')
    command = ("npm", "install", "--no-audit", "--no-fund", "--ignore-scripts", f"{RECONNECTING}@4.4.0")
    done = attempt(*command, directory=folder, env=os.environ)
    if done.returncode:
        pytest.skip("npm cannot reach its registry: reconnecting-websocket comes from there")
    return folder


def test_reconnecting_websocket_comes_back_by_itself_and_misses_nothing(queue: str, modules: Path) -> None:
    name = user()
    with service(queue, stream_max_age_seconds="1") as chain, node(chain, name, RECONNECTING, folder=modules) as client:
        client.wait_for("stream.ready")
        shown, closes, sent = [], 0, 0
        while closes < 3:
            chain.put(str(sent), user_id=name, event_type="number")
            sent += 1
            # An event may come before or after the close that it races with.
            while len(shown) < sent:
                found = client.next()
                if found.get("event") == "number":
                    shown.append(found["data"])
                elif found.get("event") == "stream.gap":
                    raise AssertionError(found)
                elif "closed" in found:
                    assert found["closed"] == 1000
                    closes += 1
        assert shown == [str(number) for number in range(sent)]
