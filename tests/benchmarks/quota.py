"""A CPU quota as container engines set it: a control group with a quota per 100 ms, removed at the end."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Self

MOUNTS = Path("/proc/self/mounts")
PERIOD_US = 100_000
PREFERRED = {"cpu.weight.nice": "-10", "cpu.shares": "9548"}
"""Niceness counts only within a group. This gives the group what niceness -10 gives a process, in v2 and v1."""


class NoQuotaError(Exception):
    """No quota can be set; the message says why in one line."""


@dataclass(frozen=True, slots=True)
class Throttling:
    """How often the group ran, and how often it was stopped until the next period."""

    periods: int
    stopped: int

    def since(self, before: Throttling) -> float:
        """The share of periods in which it was stopped."""
        return (self.stopped - before.stopped) / max(self.periods - before.periods, 1)


class Quota:
    """A group whose processes share ``cpus`` cores. They must end before the block does."""

    def __init__(self, cpus: float) -> None:
        self.cpus = cpus
        parent, self._unified = _controller()
        self._group = parent / f"benchmarks-{os.getpid()}-{time.monotonic_ns()}"

    def take(self, pids: Sequence[int]) -> None:
        """Move processes with all their threads into the group."""
        for pid in pids:
            self._write("cgroup.procs", str(pid))

    def within(self, command: Sequence[str]) -> list[str]:
        """The command, which moves itself into the group before it does anything."""
        return ["sh", "-c", 'echo $$ > "$0" && exec "$@"', str(self._group / "cgroup.procs"), *command]

    def throttling(self) -> Throttling:
        """The counts so far."""
        counts = dict(line.split() for line in (self._group / "cpu.stat").read_text().splitlines())
        return Throttling(int(counts["nr_periods"]), int(counts["nr_throttled"]))

    def __enter__(self) -> Self:
        quota = round(self.cpus * PERIOD_US)
        try:
            if self._unified:
                self._delegate_cpu()
            self._group.mkdir()
            if self._unified:
                self._write("cpu.max", f"{quota} {PERIOD_US}")
            else:
                self._write("cpu.cfs_period_us", str(PERIOD_US))
                self._write("cpu.cfs_quota_us", str(quota))
            for name, value in PREFERRED.items():
                if (self._group / name).exists():
                    self._write(name, value)
        except OSError as error:
            with suppress(FileNotFoundError):
                self._group.rmdir()
            raise NoQuotaError(f"no CPU quota can be set here: {error}") from error
        return self

    def __exit__(self, *_: object) -> None:
        self._group.rmdir()

    def _delegate_cpu(self) -> None:
        enabled = self._group.parent / "cgroup.subtree_control"
        if "cpu" not in enabled.read_text().split():
            enabled.write_text("+cpu")

    def _write(self, name: str, value: str) -> None:
        (self._group / name).write_text(value)


def _controller() -> tuple[Path, bool]:
    """The folder for groups with a CPU quota, and whether it is of version 2."""
    for mount in MOUNTS.read_text().splitlines():
        _, where, kind, options, *_ = mount.split()
        if kind == "cgroup2" and "cpu" in (Path(where) / "cgroup.controllers").read_text().split():
            return Path(where), True
        if kind == "cgroup" and "cpu" in options.split(","):
            return Path(where), False
    raise NoQuotaError("no CPU quota can be set here: no control groups for cpu are mounted")
