"""No client hurts another: every attack in small, on one service with witnesses."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest

from tests.faults.attacks import ATTACKS, LIMITED
from tests.faults.flood_run import Result, flood
from tests.faults.floods import FEW_DESCRIPTORS, says_why

SCALE = 0.05
"""Part of the connections that ``python -m tests.faults.floods`` makes."""

SECONDS = 5.0

WAVES: Sequence[Sequence[str]] = (
    ("never read", "slow heads", "rubbish", "bodies", "churn", "bad tokens", "one user"),
    ("header bombs", "pipelined", "storm", "backlog"),
)
"""What is carried out at one time: the first that wait, then the others."""


@pytest.fixture(scope="module")
def results() -> list[Result]:
    """A calm while, then the waves."""

    async def carry_out() -> list[Result]:
        async with flood(seconds=SECONDS, scale=SCALE, users=4) as attacked:
            return [await attacked.calm(1), *[await attacked.attacked(*names) for names in WAVES]]

    return asyncio.run(carry_out())


def test_every_attack_is_carried_out() -> None:
    assert sorted(name for names in WAVES for name in names) == sorted(ATTACKS)


def test_witnesses_lose_nothing_hear_heartbeats_in_time_and_everything_comes_back(results: list[Result]) -> None:
    wrong = [text for result in results for text in result.wrong]
    assert not wrong, "\n".join(wrong)


def test_witnesses_see_events_while_others_attack(results: list[Result]) -> None:
    assert all(result.window.delays for result in results)


def test_a_service_without_descriptors_says_so_keeps_its_streams_and_recovers() -> None:
    async def carry_out() -> list[str]:
        async with flood(seconds=SECONDS, scale=SCALE, users=2, descriptors=FEW_DESCRIPTORS) as attacked:
            await attacked.calm(1)
            result = await attacked.attacked(*LIMITED)
            return result.wrong + says_why(attacked)

    wrong = asyncio.run(carry_out())
    assert not wrong, "\n".join(wrong)
