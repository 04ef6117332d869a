"""The commands in ``deploy/README.md`` work when pasted."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

from tests.conformance.parser import parse
from tests.integration.process import PROGRAM_DEADLINE
from tests.ports import free_port

ROOT = Path(__file__).parents[2]


def block(page: str, heading: str) -> str:
    """Return the first block of commands under a heading."""
    text = (ROOT / page).read_text().split(f"# {heading}\n")[1]
    return text.split("```sh\n")[1].split("```")[0]


def test_two_tasks_share_a_queue_and_a_stream_resumes_at_the_other_task(tmp_path: Path) -> None:
    script = block("deploy/README.md", "Two tasks on one machine")
    assert script.count(".venv/bin/pip install") == 1
    script = "\n".join(line for line in script.splitlines() if ".venv/bin/pip install" not in line)
    for port in ("6379", "5000", "8001", "8002"):
        script = script.replace(port, str(free_port()))
    (tmp_path / ".venv").symlink_to(Path(sys.prefix))
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("SSE_", "AWS_"))}
    with (tmp_path / "out").open("wb") as out, (tmp_path / "log").open("wb") as log:
        done = subprocess.run(
            ["bash", "-c", script.replace("; rm one.txt two.txt", "; wait")],
            cwd=tmp_path,
            env={**clean, "SSE_DRAIN_SECONDS": "1"},
            stdout=out,
            stderr=log,
            timeout=PROGRAM_DEADLINE,
            check=False,
        )
    printed = (tmp_path / "log").read_text()
    for name in ("one.txt", "two.txt"):
        seen = parse((tmp_path / name).read_bytes()).events
        assert [json.loads(m.data) for m in seen if m.type == "message"] == [{"step": 1}], printed
    resumed = parse((tmp_path / "out").read_bytes().rpartition(b"\n:\n")[2]).events
    assert json.loads(resumed[0].data) == {"resumed": True, "user": "42"}
    assert [json.loads(m.data) for m in resumed if m.type == "message"] == [{"step": 2}]
    assert "Traceback" not in printed, printed
    assert done.returncode in (0, 143)
