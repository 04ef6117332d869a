"""What many tasks promise, while everything around them fails."""

from __future__ import annotations

import asyncio
import random

from tests.faults.chaos import Report, chaos
from tests.faults.faults import FAULTS, LOSES_DATA, LOSES_PUSHES

SEED = random.SystemRandom().randrange(2**32)


def run(*names: str, seconds: float = 0, program: tuple[str, ...] = ("sse_service",), tasks: int = 3) -> Report:
    patience = 60.0 if program == ("sse_service",) else 5.0
    return asyncio.run(
        chaos(seed=SEED, seconds=seconds, hold=2, names=names, program=program, tasks=tasks, patience=patience)
    )


def test_no_fault_that_leaves_the_store_its_data_loses_doubles_or_reorders_anything_or_tells_a_gap() -> None:
    report = run(*sorted(FAULTS.keys() - LOSES_DATA - LOSES_PUSHES))
    assert not report.violations, report
    assert not report.gaps


def test_where_the_store_loses_data_a_gap_is_told_and_nothing_else_is_broken() -> None:
    report = run(*sorted(LOSES_DATA), tasks=2)
    assert not report.violations, report
    assert set(report.gaps) <= {"epoch", "trimmed", "lost"}


def test_messages_that_are_lost_on_a_connection_that_lives_on_are_read_again_or_told_as_a_gap() -> None:
    report = run(*LOSES_PUSHES, seconds=15, tasks=2)
    assert not report.violations, report
    assert set(report.gaps) <= {"lost"}
