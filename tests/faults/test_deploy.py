"""The guarantees of a rolling deploy for the pages that are open."""

from __future__ import annotations

from xml.etree import ElementTree

import pytest
import uvloop

from tests.faults.deploy import deploy
from tests.faults.deploy_chart import BEFORE, chart
from tests.faults.deploy_figures import CHANCE, CLIFF, Figures, greatest

STREAMS = 240
DRAIN = 5


@pytest.fixture(scope="module")
def figures() -> Figures:
    return uvloop.run(deploy(streams=STREAMS, rate=50, drain=DRAIN, quiet=1))


@pytest.fixture(scope="module")
def cut() -> Figures:
    """The order that AWS documents: the balancer cuts all streams of the old tasks, and then they get SIGTERM."""
    return uvloop.run(
        deploy(streams=STREAMS, rate=50, drain=2, quiet=1, order="deregister", delay=1, together=True, least=True)
    )


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


def test_streams_that_a_balancer_cuts_before_sigterm_come_back_and_lose_double_and_reorder_nothing(
    cut: Figures,
) -> None:
    assert not cut.violations, cut
    assert all(page.cuts == 1 and len(page.begun) == 2 and page.open for page in cut.pages), cut


def test_streams_that_a_balancer_cuts_together_come_back_spread_over_the_range_of_retry(cut: Figures) -> None:
    [old] = cut.replaced
    assert old.cut is not None
    assert old.cut <= old.told
    # ``retry`` is 1 to 5 s.
    assert min(cut.reconnects) >= old.cut + 0.9
    assert cut.reconnects[-1] - cut.reconnects[0] >= 2
    assert cut.most < STREAMS / 2, cut


def test_the_chart_has_a_bar_for_each_second_with_reconnects(figures: Figures, cut: Figures) -> None:
    drawn = ElementTree.fromstring(chart({"SIGTERM first": figures, "balancer first": cut}))
    bars = [each for each in drawn.iter("{http://www.w3.org/2000/svg}rect") if each.get("fill") == "#2da44e"]
    [gone] = cut.replaced
    seconds = {int(at - figures.replaced[0].told + BEFORE) for at in figures.reconnects}
    assert len(bars) == len(seconds) + len({int(at - gone.deregistered + BEFORE) for at in cut.reconnects})
