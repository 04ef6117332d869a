"""How many connections and streams the limit of file descriptors allows."""

from __future__ import annotations

import subprocess
import sys

import pytest

from sse_service.http import descriptors
from sse_service.model.errors import InvalidSettings


def limits(setting: str) -> list[str]:
    """The soft and hard limit of a process that has raised its own."""
    code = (
        "import resource; from sse_service.http import descriptors as d; print(d.raise_limit(), *resource.getrlimit(7))"
    )
    command = f'ulimit {setting}; exec "$0" -c "$1"'
    return subprocess.run(
        ["bash", "-c", command, sys.executable, code], check=True, capture_output=True, text=True
    ).stdout.split()


def test_a_shells_low_limit_is_raised_as_far_as_the_process_may() -> None:
    assert limits("-Sn 300; ulimit -Hn 1500") == ["1500", "1500", "1500"]


def test_fewer_streams_than_asked_for_are_held_where_descriptors_are_short(caplog: pytest.LogCaptureFixture) -> None:
    connections = descriptors.connections_within(1100)
    assert connections == 1000
    assert descriptors.streams_within(connections, 900) == 900
    assert not caplog.records
    assert descriptors.streams_within(connections, 10_000) == 900
    assert "SSE_MAX_STREAMS is 10000" in caplog.text


def test_a_limit_with_which_nobody_could_be_served_stops_the_start() -> None:
    with pytest.raises(InvalidSettings, match=r"^ulimit -n: must be at least 200"):
        descriptors.connections_within(199)
