"""Runs the image's health check beside a server, as a container engine does, on the server's core and quota."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from typing import Self

from tests.benchmarks.pinned_process import DEADLINE, ROOT, SERVER_CORE
from tests.benchmarks.quota import Quota
from tests.deploy.dockerfile import stages


def command(port: int) -> list[str]:
    """The image's health check, for this Python and this port."""
    _, (*_, final) = stages(ROOT / "deploy" / "Dockerfile")
    _, _, text = final.one("HEALTHCHECK").text.partition(" CMD ")
    program, *arguments = json.loads(text)
    assert program == "python"
    return [sys.executable, *(argument.replace("8000", str(port)) for argument in arguments)]


class HealthChecks:
    """Checks the server again and again until the block ends."""

    def __init__(self, quota: Quota, *, port: int, every: float) -> None:
        """``every`` is the interval in seconds."""
        self._command = quota.within(command(port))
        self._every = every
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self.passed = self.failed = 0

    def _run(self) -> None:
        # Of this thread alone. Its children inherit it.
        os.sched_setaffinity(0, {SERVER_CORE})
        while not self._over.wait(self._every):
            done = subprocess.run(self._command, env={}, stderr=subprocess.DEVNULL, timeout=DEADLINE)
            if done.returncode == 0:
                self.passed += 1
            else:
                self.failed += 1

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()
