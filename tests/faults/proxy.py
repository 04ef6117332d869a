"""A TCP proxy that fails on demand. With several upstreams it is a load balancer.

As a program, ``python -m tests.faults.proxy`` prints its port and reads commands as lines of JSON (see `Balancer`).
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import itertools
import json
import sys
from collections import Counter
from collections.abc import Callable
from typing import Any, Literal, Self

import uvloop

Mode = Literal["pass", "refuse", "black hole"]


class _Pair:
    """A client's connection, and the connection to its upstream."""

    def __init__(self, client: asyncio.StreamWriter, upstream: asyncio.StreamWriter, port: int) -> None:
        self.client = client
        self.upstream = upstream
        self.port = port
        """The port of the upstream."""
        self.pushes = False
        """Whether the client has subscribed to a channel."""

    def cut(self) -> None:
        for writer in (self.client, self.upstream):
            writer.transport.abort()


class Proxy:
    """Forwards connections on 127.0.0.1 to ``upstreams``, in turn or to the one with the fewest connections."""

    def __init__(self, *upstreams: int) -> None:
        self.upstreams = list(upstreams)
        self.mode: Mode = "pass"
        """``refuse`` resets new connections. ``black hole`` accepts bytes and forwards none."""
        self.swallow = False
        """Whether to drop the bytes that the server sends to subscribers."""
        self.swallowed = 0
        """How many bytes were dropped."""
        self.delay = 0.0
        """Seconds added in each direction."""
        self.port = 0
        self.least = False
        """Whether to use the upstream with the fewest connections."""
        self.open: Counter[int] = Counter()
        """Open connections by upstream."""
        self.failed = 0
        """How often an upstream refused a connection."""
        self._turn = itertools.count()
        self._pairs: set[_Pair] = set()
        self._tasks: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0, backlog=4096)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        self.cut()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def cut(self, which: Callable[[_Pair], bool] = lambda _: True) -> None:
        """Reset connections on both sides."""
        for pair in list(self._pairs):
            if which(pair):
                pair.cut()

    def cut_pushes(self) -> None:
        """Reset the connections of subscribers."""
        self.cut(lambda pair: pair.pushes)

    def cut_upstreams(self, *upstreams: int) -> int:
        """Reset all connections to these upstreams, and return how many they were."""
        found = sum(pair.port in upstreams for pair in self._pairs)
        self.cut(lambda pair: pair.port in upstreams)
        return found

    def switch(self, *upstreams: int) -> None:
        """Use other upstreams from now on, as after a failover."""
        self.upstreams = list(upstreams)
        self.cut()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        try:
            connected = None if self.mode == "refuse" else await self._connect()
            if connected is None:
                writer.transport.abort()
                return
            port, behind, upstream = connected
            pair = _Pair(writer, upstream, port)
            self._pairs.add(pair)
            try:
                ways = [
                    asyncio.create_task(self._pump(reader, upstream, pair, upwards=True)),
                    asyncio.create_task(self._pump(behind, writer, pair, upwards=False)),
                ]
                try:
                    # One direction may end before the other: a client that has sent its request still reads.
                    await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
                finally:
                    for way in ways:
                        way.cancel()
                    await asyncio.gather(*ways, return_exceptions=True)
            finally:
                self.open[port] -= 1
                self._pairs.discard(pair)
                for each in (writer, upstream):
                    each.close()
        except (OSError, asyncio.CancelledError):
            writer.transport.abort()
        finally:
            self._tasks.discard(task)

    async def _connect(self) -> tuple[int, asyncio.StreamReader, asyncio.StreamWriter] | None:
        for port in self._order():
            # Count it before connecting. Otherwise simultaneous connections would all go to the same upstream.
            self.open[port] += 1
            try:
                return port, *await asyncio.open_connection("127.0.0.1", port, limit=2**20)
            except OSError:
                self.open[port] -= 1
                self.failed += 1
        return None

    def _order(self) -> list[int]:
        """Return the upstreams in the order in which to try them."""
        first = next(self._turn) % max(len(self.upstreams), 1)
        turned = [*self.upstreams[first:], *self.upstreams[:first]]
        return sorted(turned, key=lambda port: self.open[port]) if self.least else turned

    async def _pump(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, pair: _Pair, *, upwards: bool
    ) -> None:
        with contextlib.suppress(OSError):
            while data := await reader.read(2**16):
                if upwards and b"SUBSCRIBE\r\n" in data:
                    pair.pushes = True
                if self.mode == "black hole":
                    continue
                if self.swallow and pair.pushes and not upwards:
                    self.swallowed += len(data)
                    continue
                if self.delay:
                    await asyncio.sleep(self.delay)
                writer.write(data)
                await writer.drain()


class Balancer:
    """A Proxy in a separate process, for thousands of connections."""

    def __init__(self, *, least: bool = False) -> None:
        self._options = ["--least"] if least else []
        self.port = 0

    async def __aenter__(self) -> Self:
        self._process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "tests.faults.proxy", *self._options),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
        )
        self.port = (await self._answer())["port"]
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        await self._process.wait()

    async def lead_to(self, *upstreams: int) -> int:
        """Use these upstreams for new connections. Return how often an upstream has refused a connection so far."""
        return int((await self._command("lead_to", upstreams))["failed"])

    async def cut(self, *upstreams: int) -> int:
        """Reset all connections to these upstreams at once. Return how many they were."""
        return int((await self._command("cut", upstreams))["cut"])

    async def _command(self, name: str, upstreams: tuple[int, ...]) -> Any:
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps({name: upstreams}).encode() + b"\n")
        return await self._answer()

    async def _answer(self) -> Any:
        assert self._process.stdout is not None
        return json.loads(await self._process.stdout.readline())


async def main(*, least: bool) -> None:
    async with Proxy() as proxy:
        proxy.least = least
        print(json.dumps({"port": proxy.port}), flush=True)
        while line := await asyncio.to_thread(sys.stdin.readline):
            match json.loads(line):
                case {"lead_to": upstreams}:
                    proxy.upstreams = upstreams
                    answer = {"failed": proxy.failed}
                case {"cut": upstreams}:
                    answer = {"cut": proxy.cut_upstreams(*upstreams)}
            print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--least", action="store_true", help="use the upstream with the fewest connections")
    uvloop.run(main(least=parser.parse_args().least))
