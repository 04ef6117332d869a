"""The guarantees of several tasks while everything around them fails."""

from __future__ import annotations

import asyncio
import random

from tests.faults.chaos import Report, chaos
from tests.faults.cluster import SETTLE_SECONDS
from tests.faults.faults import FAULTS, LOSES_DATA, LOSES_PUSHES

SEED = random.SystemRandom().randrange(2**32)


def run(
    *names: str,
    seconds: float = 0,
    program: tuple[str, ...] = ("sse_service",),
    tasks: int = 3,
    mixed: bool = False,
) -> Report:
    patience = SETTLE_SECONDS if program == ("sse_service",) else 5.0
    return asyncio.run(
        chaos(
            seed=SEED,
            seconds=seconds,
            hold=2,
            names=names,
            program=program,
            tasks=tasks,
            mixed=mixed,
            patience=patience,
        )
    )


def test_faults_that_keep_the_stores_data_lose_double_and_reorder_nothing_and_cause_no_gap() -> None:
    report = run(*sorted(FAULTS.keys() - LOSES_DATA - LOSES_PUSHES))
    assert not report.violations, report
    assert not report.gaps


def test_a_store_that_loses_data_causes_gaps_and_breaks_nothing_else() -> None:
    report = run(*sorted(LOSES_DATA), tasks=2)
    assert not report.violations, report
    assert set(report.gaps) <= {"epoch", "trimmed", "lost"}


def test_messages_lost_on_a_living_connection_are_replayed_or_reported_as_a_gap() -> None:
    report = run(*LOSES_PUSHES, seconds=15, tasks=2)
    assert not report.violations, report
    assert set(report.gaps) <= {"lost"}


def test_clients_that_change_between_all_ways_to_listen_lose_and_double_nothing_under_kills_and_deploys() -> None:
    report = run("task killed", "task drained", "clients cut", seconds=10, mixed=True)
    assert not report.violations, report
    assert not report.gaps
    assert len(report.ways) == 4
    assert report.changes > 100
