"""Runs a load generator, ``load.c`` or ``listeners.c``, and sends it commands."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Self

from tests.benchmarks.peers import MissingError
from tests.benchmarks.pinned_process import LOAD_CORE, prefer


def build(folder: Path, name: str = "load") -> Path:
    """Compile one."""
    compiler = shutil.which("cc")
    if compiler is None:
        raise MissingError("a C compiler is missing: apt-get install gcc libc6-dev (Debian)")
    program = folder / name
    source = Path(__file__).with_name(f"{name}.c")
    subprocess.run([compiler, "-O2", "-o", str(program), str(source)], check=True)
    return program


class Load:
    """A running load generator."""

    def __init__(self, program: Path, port: int, lines: Sequence[str]) -> None:
        """``lines`` is its file: what it shall open, as its source says."""
        with tempfile.NamedTemporaryFile("w") as file:
            file.write("".join(f"{line}\n" for line in lines))
            file.flush()
            self._process = subprocess.Popen(
                [program, str(port), file.name],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
                bufsize=1,
                start_new_session=True,
            )
            os.sched_setaffinity(self._process.pid, {LOAD_CORE})
            prefer(self._process.pid)
            # The first answer shows that it has read the file.
            self("reset")

    def __call__(self, *command: object) -> Any:
        """Send a command and return its answer."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(f"{' '.join(map(str, command))}\n")
        answer = self._process.stdout.readline()
        if not answer:
            raise RuntimeError(f"load ended at {command}")
        return json.loads(answer)

    def rate(self) -> float:
        """Events a second since the last ``reset``."""
        figures = self("figures")
        return float(figures["events"] / figures["seconds"])

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        self._process.wait()
        self._process.stdout.close()
