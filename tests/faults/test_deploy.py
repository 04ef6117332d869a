"""The guarantees of a rolling deploy for the pages that are open."""

from __future__ import annotations

from xml.etree import ElementTree

import pytest
import uvloop

from tests.faults.deploy import deploy
from tests.faults.deploy_chart import chart
from tests.faults.deploy_figures import CHANCE, CLIFF, Figures, greatest

STREAMS = 240
DRAIN = 5


@pytest.fixture(scope="module")
def figures() -> Figures:
    return uvloop.run(deploy(streams=STREAMS, rate=50, drain=DRAIN, quiet=1))


def test_a_rolling_deploy_loses_doubles_and_reorders_nothing_and_causes_no_gap(figures: Figures) -> None:
    assert not figures.violations, figures


def test_every_old_task_ends_in_time_with_status_0_whether_it_is_deregistered_before_or_after_sigterm(
    figures: Figures,
) -> None:
    assert {old.late for old in figures.replaced} == {True, False}
    assert all(old.status == 0 and old.in_time for old in figures.replaced), figures


def test_every_page_comes_back_and_reconnects_are_spread_over_the_drain(figures: Figures) -> None:
    assert all(len(page.begun) > 1 and page.open for page in figures.pages)
    for drain in figures.drains:
        assert drain.ahead <= 2, figures
        assert drain.greatest <= CLIFF * drain.even + CHANCE, figures
    assert greatest(figures.reconnects) <= CLIFF * max(drain.even for drain in figures.drains) + CHANCE, figures


def test_the_chart_has_a_bar_for_each_second_with_reconnects(figures: Figures) -> None:
    drawn = ElementTree.fromstring(chart(figures))
    bars = [each for each in drawn.iter("{http://www.w3.org/2000/svg}rect") if each.get("fill") == "#2da44e"]
    assert len(bars) == len({int(at - figures.replaced[0].told + 5) for at in figures.reconnects})
