"""No client affects another. Every attack is tried with few connections, on one service with bystanders."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest

from tests.faults.attacks import ATTACKS, LIMITED
from tests.faults.flood_run import Result, flood
from tests.faults.floods import FEW_DESCRIPTORS, check_log

SCALE = 0.05
"""Share of the connections that ``python -m tests.faults.floods`` makes."""

SECONDS = 5.0

WAVES: Sequence[Sequence[str]] = (
    ("never read", "slow heads", "rubbish", "bodies", "churn", "bad tokens", "one user"),
    ("header bombs", "pipelined", "storm", "backlog"),
)
"""Attacks that are carried out together: first those that mostly wait, then the others."""


@pytest.fixture(scope="module")
def results() -> list[Result]:
    """The baseline, then the waves."""

    async def carry_out() -> list[Result]:
        async with flood(seconds=SECONDS, scale=SCALE, users=4) as attacked:
            return [await attacked.calm(1), *[await attacked.attacked(*names) for names in WAVES]]

    return asyncio.run(carry_out())


def test_the_waves_include_every_attack() -> None:
    assert sorted(name for names in WAVES for name in names) == sorted(ATTACKS)


def test_bystanders_lose_nothing_and_get_heartbeats_and_everything_is_released(results: list[Result]) -> None:
    wrong = [text for result in results for text in result.wrong]
    assert not wrong, "\n".join(wrong)


def test_bystanders_see_events_during_every_attack(results: list[Result]) -> None:
    assert all(result.window.delays for result in results)


def test_a_service_without_descriptors_logs_it_keeps_its_streams_and_recovers() -> None:
    async def carry_out() -> list[str]:
        async with flood(seconds=SECONDS, scale=SCALE, users=2, descriptors=FEW_DESCRIPTORS) as attacked:
            await attacked.calm(1)
            result = await attacked.attacked(*LIMITED)
            return result.wrong + check_log(attacked)

    wrong = asyncio.run(carry_out())
    assert not wrong, "\n".join(wrong)
