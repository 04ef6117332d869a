"""Peers that vanish without a word, on a real link in a network namespace that goes down."""

from __future__ import annotations

import json
import subprocess
from typing import Any

import pytest

from tests.faults import namespace

CUT_SECONDS = 45
"""How long one that has vanished may stay; with a heartbeat every 5 s, as here, also where nothing else is sent."""


@pytest.fixture(scope="module")
def seen() -> dict[str, Any]:
    """What a service and its witnesses saw when forty peers vanished, to half of whom events were sent."""
    try:
        command = namespace.inside("tests.faults.attack_vanish")
    except namespace.NotAllowedError as error:
        pytest.fail(str(error), pytrace=False)
    ran = subprocess.run(command, capture_output=True, text=True, timeout=180)
    assert ran.returncode == 0, ran.stderr
    found: dict[str, Any] = json.loads(ran.stdout.splitlines()[-1])
    return found


def test_peers_that_vanish_are_cut_whether_events_are_sent_to_them_or_only_heartbeats(seen: dict[str, Any]) -> None:
    assert len(seen["cut after seconds"]) == seen["streams"], seen
    assert max(seen["cut after seconds"]) < CUT_SECONDS, seen


def test_the_kernel_keeps_no_socket_of_theirs_and_the_service_no_descriptor(seen: dict[str, Any]) -> None:
    opened, kept = seen["sockets"]
    assert opened == seen["streams"]
    assert kept == 0
    before, after = seen["descriptors"]
    # A call to SQS may just be made.
    assert after <= before + 2


def test_streams_on_another_path_get_all_events_in_order_and_their_heartbeats_in_time(seen: dict[str, Any]) -> None:
    assert seen["witnesses"] == []
    assert not seen["traceback"]
