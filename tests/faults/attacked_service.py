"""Runs a real service process with an SQS stub, and measures its memory, descriptors and sockets."""

from __future__ import annotations

import asyncio
import itertools
import os
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import httpx
from aiohttp import web

from tests.integration.chain import AWS, SECRET
from tests.integration.process import DEADLINE, Process
from tests.integration.sqs_stub import SQSStub
from tests.integration.valkey import Valkey


@dataclass(kw_only=True)
class Service:
    """A running service, with methods to observe it."""

    stub: SQSStub
    queue: str
    """The stub's URL; ``POST /put`` there publishes."""
    process: Process
    port: int
    admin: str
    http: httpx.AsyncClient
    _numbers: Iterator[int] = field(default_factory=itertools.count)

    @property
    def descriptors(self) -> int:
        return len(os.listdir(f"/proc/{self.process.pid}/fd"))

    @property
    def sockets(self) -> int:
        found = 0
        for name in os.listdir(f"/proc/{self.process.pid}/fd"):
            try:
                found += os.readlink(f"/proc/{self.process.pid}/fd/{name}").startswith("socket:")
            except FileNotFoundError:
                continue
        return found

    def memory(self, what: str = "VmRSS") -> int:
        """Return the resident bytes now, or with ``VmHWM`` their peak since ``forget_peak``."""
        text = Path(f"/proc/{self.process.pid}/status").read_text()
        return int(text.partition(f"{what}:")[2].split()[0]) * 1024

    def forget_peak(self) -> None:
        """Reset VmHWM (proc(5), clear_refs)."""
        Path(f"/proc/{self.process.pid}/clear_refs").write_text("5")

    async def metrics(self) -> dict[str, float]:
        text = (await self.http.get(f"{self.admin}/metrics")).text
        samples = (line.rpartition(" ") for line in text.splitlines() if not line.startswith("#"))
        return {name: float(value) for name, _, value in samples}

    def publish(self, user: str, *bodies: str) -> None:
        """Put events into the queue; ``await stub.notify()`` delivers them."""
        attributes = {"user_id": {"DataType": "String", "StringValue": user}}
        for body in bodies:
            self.stub.send(f"here-{next(self._numbers)}", body, MessageAttributes=attributes)


@asynccontextmanager
async def service(
    *, host: str = "127.0.0.1", valkey: bool = False, descriptors: int = 0, **settings: str
) -> AsyncIterator[Service]:
    """Run a service until the block ends. ``descriptors`` limits its file descriptors."""
    async with AsyncExitStack() as stack:
        stub = SQSStub()
        # Short enough for a dedupe window of a minute, so that the memory of the window stops growing.
        stub.attributes["VisibilityTimeout"] = "10"
        app = web.Application(client_max_size=2**30)
        app.router.add_post("/put", stub.put)
        app.router.add_post("/{path:.*}", stub.__call__)
        runner = web.AppRunner(app, access_log=None)
        await runner.setup()
        stack.push_async_callback(runner.cleanup)
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        queue = f"http://127.0.0.1:{runner.addresses[0][1]}"
        store = {"SSE_BROKER_URL": stack.enter_context(Valkey()).url} if valkey else {"SSE_SINGLE_TASK": "true"}
        env = {
            **AWS,
            **store,
            "AWS_ENDPOINT_URL": queue,
            "SSE_QUEUE_URL": f"{queue}/000000000000/events",
            "SSE_JWT_SECRET": SECRET,
            # Two polls at the same time may swap messages that came one after the other.
            "SSE_SQS_POLLERS": "1",
            "SSE_DRAIN_SECONDS": "1",
            "SSE_ADMIN_PORT": "0",
            "SSE_LOG_FORMAT": "text",
            **{f"SSE_{name.upper()}": value for name, value in settings.items()},
        }
        program = ("tests.faults.few_descriptors", str(descriptors)) if descriptors else ("sse_service",)
        process = stack.enter_context(Process(*program, "serve", "--host", host, "--port", "0", env=env))
        url = (await asyncio.to_thread(process.wait_for, r"listening on (http://[^\s,]+)"))[1]
        admin = (await asyncio.to_thread(process.wait_for, r"metrics on (http://\S+)/metrics"))[1]
        http = await stack.enter_async_context(httpx.AsyncClient(trust_env=False, timeout=DEADLINE))
        stack.push_async_callback(stub.end_polls)
        yield Service(stub=stub, queue=queue, process=process, port=int(url.rpartition(":")[2]), admin=admin, http=http)
