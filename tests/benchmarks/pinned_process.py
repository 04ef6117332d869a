"""Runs a process on one CPU core and measures its CPU time and memory."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Self, TypeVar

T = TypeVar("T")

ROOT = Path(__file__).parents[2]
CORES = sorted(os.sched_getaffinity(0))
SERVER_CORE, LOAD_CORE = CORES[0], CORES[-1]
DEADLINE = 120.0
"""Seconds after which a start counts as failed."""


class PinnedProcess:
    """Runs a command pinned to one core, with priority over other work if that is allowed."""

    def __init__(
        self,
        *command: str,
        core: int = SERVER_CORE,
        env: Mapping[str, str] | None = None,
        port: int = 0,
        ready: str = "",
    ) -> None:
        """The start is over when it listens on ``port`` and, if ``ready`` names a path, answers 200 there."""
        clean = {name: value for name, value in os.environ.items() if not name.startswith(("SSE_", "AWS_"))}
        self._command, self._core, self._env = command, core, {**clean, **(env or {})}
        self.port = port
        self._ready = ready

    @property
    def pids(self) -> list[int]:
        """The process and its children."""
        pid = self._process.pid
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
        return [pid, *map(int, children)]

    def cpu(self) -> float:
        """Seconds of user and system time so far, in nanosecond resolution (clock_getcpuclockid(3))."""
        return sum(time.clock_gettime((~pid << 3) | 2) for pid in self.pids)

    def memory(self) -> float:
        """Bytes of PSS."""
        texts = [Path(f"/proc/{pid}/smaps_rollup").read_text() for pid in self.pids]
        return sum(
            int(line.split()[1]) * 1024 for text in texts for line in text.splitlines() if line.startswith("Pss:")
        )

    def pause(self) -> None:
        """Stop the process until ``resume``."""
        self._signal(signal.SIGSTOP)

    def resume(self) -> None:
        """Continue the process."""
        self._signal(signal.SIGCONT)

    def __enter__(self) -> Self:
        self._log = tempfile.TemporaryFile()
        # A child inherits its parent's core. Moved later, the threads that it had started would stay behind.
        before = os.sched_getaffinity(0)
        os.sched_setaffinity(0, {self._core})
        try:
            self._process = subprocess.Popen(
                self._command,
                cwd=ROOT,
                env=self._env,
                stdin=subprocess.DEVNULL,
                stdout=self._log,
                stderr=self._log,
                start_new_session=True,
            )
        finally:
            os.sched_setaffinity(0, before)
        prefer(self._process.pid)
        try:
            self._wait()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        # An orderly end is not needed here and may take as long as a long poll.
        if self._process.poll() is None:
            self._signal(signal.SIGKILL)
        self._process.wait()
        self._log.close()

    def _signal(self, number: signal.Signals) -> None:
        for pid in self.pids:
            os.kill(pid, number)

    def _wait(self) -> None:
        until = time.monotonic() + DEADLINE
        while not self._answers():
            if self._process.poll() is not None or time.monotonic() > until:
                self._log.seek(0)
                raise RuntimeError(f"{' '.join(self._command)} does not serve:\n{self._log.read().decode()[-2000:]}")
            time.sleep(0.02)

    def _answers(self) -> bool:
        try:
            with socket.create_connection(("127.0.0.1", self.port), 1) as connection:
                if not self._ready:
                    return True
                connection.sendall(f"GET {self._ready} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".encode())
                return b" 200 " in connection.recv(100)
        except OSError:
            return False


def by_turns(turns: int, *measured: tuple[PinnedProcess, Callable[[], T]]) -> list[list[T]]:
    """Measure each in turn while the others are paused, so that disturbances of the machine affect all alike."""
    for server, _ in measured:
        server.pause()
    found = []
    for _ in range(turns):
        turn = []
        for server, measure in measured:
            server.resume()
            turn.append(measure())
            server.pause()
        found.append(turn)
    for server, _ in measured:
        server.resume()
    return found


def prefer(pid: int) -> None:
    """Raise the priority of a process that leads its own session. The scheduler compares sessions (autogroup) first."""
    with contextlib.suppress(OSError):
        os.setpriority(os.PRIO_PROCESS, pid, -10)
        Path(f"/proc/{pid}/autogroup").write_text("-10")


def stolen() -> float:
    """Seconds that the hypervisor has taken from the two cores so far."""
    names = {f"cpu{SERVER_CORE}", f"cpu{LOAD_CORE}"}
    rows = [line.split() for line in Path("/proc/stat").read_text().splitlines()]
    return sum(int(row[8]) for row in rows if row[0] in names) / os.sysconf("SC_CLK_TCK")
