"""The checker detects services that break a guarantee."""

from __future__ import annotations

import pytest

from tests.faults.test_chaos import run

MIXED = ("polls-forget", "sockets-repeat")
"""Services whose flaw only clients of other ways than SSE see."""


@pytest.mark.parametrize(
    ("program", "fault", "caught"),
    [
        ("no-catch-up", "pub/sub cut in a burst", "lost"),
        ("dedupe-per-process", "queue repeats and reorders", "doubled"),
        ("ack-before-publish", "task killed", "lost"),
        ("polls-forget", "clients cut", "lost"),
        ("sockets-repeat", "clients cut", "order"),
    ],
)
def test_the_checker_catches_a_service_that_breaks_a_guarantee(program: str, fault: str, caught: str) -> None:
    report = run(fault, seconds=4, program=("tests.faults.broken_service", program), tasks=2, mixed=program in MIXED)
    assert caught in {violation.kind for violation in report.violations}, report
