"""Where the examples are, and what runs those in TypeScript and JavaScript."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import playwright

from tests.integration.process import PROGRAM_DEADLINE

EXAMPLES = Path(__file__).parents[3] / "deploy" / "examples"
NODE = Path(playwright.__file__).parent / "driver" / "node"
"""Playwright's Node.js, which runs TypeScript; the system's may be too old."""


def run_node(directory: Path, argument: Any, **env: str) -> Any:
    """Run ``run.mjs`` in a directory, with the argument as JSON. Return the JSON that it prints."""
    assert NODE.exists(), "needs Playwright: pip install playwright"
    ran = subprocess.run(
        [NODE, "run.mjs", json.dumps(argument)],
        cwd=directory,
        env=env,
        capture_output=True,
        text=True,
        timeout=PROGRAM_DEADLINE,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr
    return json.loads(ran.stdout)
