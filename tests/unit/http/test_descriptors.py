"""How many connections and streams the limit of file descriptors allows."""

from __future__ import annotations

import subprocess
import sys

import pytest

from sse_service.http import descriptors
from sse_service.model.errors import InvalidSettings


def raised_limits(setting: str) -> list[str]:
    """Run ``raise_limit`` in a new process. Returns its result and the soft and hard limit."""
    code = (
        "import resource; from sse_service.http import descriptors as d; print(d.raise_limit(), *resource.getrlimit(7))"
    )
    command = f'ulimit {setting}; exec "$0" -c "$1"'
    return subprocess.run(
        ["bash", "-c", command, sys.executable, code], check=True, capture_output=True, text=True
    ).stdout.split()


def test_a_low_soft_limit_is_raised_to_the_hard_limit() -> None:
    assert raised_limits("-Sn 300; ulimit -Hn 1500") == ["1500", "1500", "1500"]


def test_too_few_descriptors_lower_the_limit_of_streams(caplog: pytest.LogCaptureFixture) -> None:
    connections = descriptors.connections_within(1100)
    assert connections == 1000
    assert descriptors.streams_within(connections, 900) == 900
    assert not caplog.records
    assert descriptors.streams_within(connections, 10_000) == 900
    assert "SSE_MAX_STREAMS is 10000" in caplog.text


def test_a_limit_that_is_too_low_to_serve_is_refused() -> None:
    with pytest.raises(InvalidSettings, match=r"^ulimit -n: must be at least 200"):
        descriptors.connections_within(199)
