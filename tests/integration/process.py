"""A program under test, run as a real process."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Mapping
from typing import Self

DEADLINE = 120.0
"""Seconds after which a condition counts as failed. It is long, so that no test fails because the machine is busy."""

PROGRAM_DEADLINE = 600.0
"""The same for programs that need much CPU time: linters, package builders and whole fault runs."""


class Process:
    """Runs ``python -m …`` and remembers what it prints."""

    def __init__(self, *arguments: str, env: Mapping[str, str] | None = None) -> None:
        clean = {k: v for k, v in os.environ.items() if not k.startswith(("SSE_", "AWS_"))}
        self._popen = subprocess.Popen(
            [sys.executable, "-m", *arguments],
            env={**clean, "PYTHONUNBUFFERED": "1", **(env or {})},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
        )
        self._lines: list[str] = []
        self._news = threading.Condition()
        self._ended = False
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    @property
    def pid(self) -> int:
        return self._popen.pid

    @property
    def output(self) -> str:
        """All output so far."""
        with self._news:
            return "".join(self._lines)

    def wait_for(self, pattern: str) -> re.Match[str]:
        """Wait until the output matches, and return the match. Fails if the process ends or takes too long."""
        until = time.monotonic() + DEADLINE
        with self._news:
            while (match := re.search(pattern, "".join(self._lines))) is None:
                if self._ended or not self._news.wait(until - time.monotonic()):
                    raise AssertionError(f"{pattern!r} was not printed:\n{''.join(self._lines)}")
        return match

    @property
    def ended(self) -> bool:
        """Whether the process has ended."""
        return self._popen.poll() is not None

    def signal(self, number: signal.Signals) -> None:
        self._popen.send_signal(number)

    def wait(self) -> int:
        """Wait for the end, and return the exit status."""
        status = self._popen.wait(DEADLINE)
        self._reader.join(DEADLINE)
        return status

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._popen.poll() is None:
            self._popen.kill()
        self._popen.wait()
        self._reader.join(DEADLINE)
        assert self._popen.stdout is not None
        self._popen.stdout.close()

    def _read(self) -> None:
        assert self._popen.stdout is not None
        for line in self._popen.stdout:
            with self._news:
                self._lines.append(line)
                self._news.notify_all()
        with self._news:
            self._ended = True
            self._news.notify_all()
