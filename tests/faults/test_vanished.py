"""Peers that vanish without a FIN or a reset, because a real network link goes down."""

from __future__ import annotations

import json
import subprocess
from typing import Any

import pytest

from tests.faults import network_namespace
from tests.integration.process import PROGRAM_DEADLINE

CUT_SECONDS = 45
"""How long a vanished peer may stay. With heartbeats every 5 s, as here, this includes silent streams."""


@pytest.fixture(scope="module")
def seen() -> dict[str, Any]:
    """Let forty peers vanish, half of which get events. Returns what the service and its bystanders saw."""
    try:
        command = network_namespace.inside("tests.faults.vanishing_peers")
    except network_namespace.NotAllowedError as error:
        pytest.fail(str(error), pytrace=False)
    ran = subprocess.run(command, capture_output=True, text=True, timeout=PROGRAM_DEADLINE)
    assert ran.returncode == 0, ran.stderr
    found: dict[str, Any] = json.loads(ran.stdout.splitlines()[-1])
    return found


def test_vanished_peers_are_cut_with_events_or_heartbeats_alone(seen: dict[str, Any]) -> None:
    assert len(seen["cut after seconds"]) == seen["streams"], seen
    assert max(seen["cut after seconds"]) < CUT_SECONDS, seen


def test_vanished_peers_leave_no_socket_and_no_descriptor_behind(seen: dict[str, Any]) -> None:
    opened, kept = seen["sockets"]
    assert opened == seen["streams"]
    assert kept == 0
    before, after = seen["descriptors"]
    # A call to SQS may be in progress.
    assert after <= before + 2


def test_streams_on_another_path_get_their_events_and_heartbeats(seen: dict[str, Any]) -> None:
    assert seen["bystanders"] == []
    assert not seen["traceback"]
