"""Runs one process of the service for the fault tests."""

from __future__ import annotations

import asyncio
import signal

from tests.faults.proxy import Proxy
from tests.integration.chain import AWS, SECRET
from tests.integration.process import Process


class Task:
    """One process of the service."""

    def __init__(self, *, queue: str, valkey_port: int, program: tuple[str, ...], settings: dict[str, str]) -> None:
        self._program = program
        self._env = {
            **AWS,
            "AWS_ENDPOINT_URL": queue,
            "SSE_QUEUE_URL": f"{queue}/000000000000/events",
            "SSE_JWT_SECRET": SECRET,
            "SSE_BROKER_URL": f"redis://127.0.0.1:{valkey_port}/0",
            "SSE_DRAIN_SECONDS": "2",
            # So large that no burst trims the history: a gap must not have this reason.
            "SSE_HISTORY_EVENTS": "5000",
            "SSE_ADMIN_PORT": "0",
            "SSE_LOG_FORMAT": "text",
            **settings,
        }
        self.process: Process | None = None
        self.port = 0
        self.admin = ""
        self.earlier = ""
        """The output of the task's earlier processes."""

    async def start(self) -> None:
        process = Process(*self._program, "serve", "--port", "0", env=self._env)
        self.process = process
        self.port = int((await asyncio.to_thread(process.wait_for, r"listening on http://127\.0\.0\.1:(\d+)"))[1])
        self.admin = (await asyncio.to_thread(process.wait_for, r"metrics on (http://\S+)/metrics"))[1]

    def use(self, program: tuple[str, ...]) -> None:
        """Start another program the next time."""
        self._program = program

    async def end(self, how: signal.Signals) -> int:
        process, self.process = self.process, None
        assert process is not None
        with process:
            process.signal(how)
            status = await asyncio.to_thread(process.wait)
        self.earlier += process.output
        return status

    def signal(self, number: signal.Signals) -> None:
        if self.process is not None:
            self.process.signal(number)

    @property
    def output(self) -> str:
        return self.earlier + (self.process.output if self.process else "")


class ProxiedTask(Task):
    """A task with its own proxy in front of Valkey."""

    def __init__(self, proxy: Proxy, *, queue: str, program: tuple[str, ...], settings: dict[str, str]) -> None:
        super().__init__(queue=queue, valkey_port=proxy.port, program=program, settings=settings)
        self.proxy = proxy
