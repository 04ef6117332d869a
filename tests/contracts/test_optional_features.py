"""Optional features of brokers: detecting losses, sharing a store, connecting to one."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from sse_service.brokers.base import DetectsLosses, Page, PossibleLoss
from sse_service.model.cursor import Cursor
from sse_service.model.errors import Unavailable
from sse_service.model.reasons import GapReason
from sse_service.model.revocations import Revocation
from tests.contracts.brokers import BrokerFactory, with_features
from tests.contracts.harness import BrokerHarness, ids, route

MakeHarness = Callable[..., BrokerHarness]


@with_features(detects_losses=True)
def test_a_real_loss_is_a_gap_and_the_page_begins_with_the_lost_event(make_harness: MakeHarness) -> None:
    harness = make_harness()
    harness.publish(route("a"), route("b"), route("c", "user:2"), route("d"))
    a, b, c, d = (entry.cursor for entry in harness.live)

    def asked(*losses: PossibleLoss) -> Page:
        assert isinstance(harness.broker, DetectsLosses)
        return harness.run(harness.broker.replay_after_loss(["user:1", "user:2"], c, 10, losses))

    for unfounded in (
        PossibleLoss("user:1", b.offset, c.offset),
        PossibleLoss("user:2", 0, b.offset),
        PossibleLoss("user:3", 0, c.offset),
    ):
        page = asked(unfounded)
        assert (page.gap, ids(page.entries)) == (None, ["d"])
    page = asked(PossibleLoss("user:2", c.offset, d.offset), PossibleLoss("user:1", a.offset, c.offset))
    assert (page.gap, ids(page.entries)) == (GapReason.LOST, ["b", "c", "d"])


@with_features(detects_losses=True)
def test_a_possible_loss_below_the_floor_is_a_gap(make_harness: MakeHarness) -> None:
    harness = make_harness(history_events=1)
    harness.publish(route("a"), route("b"), route("c", "user:2"))
    a, _, c = (entry.cursor for entry in harness.live)
    loss = PossibleLoss("user:1", a.offset - 1, a.offset)
    assert isinstance(harness.broker, DetectsLosses)
    page = harness.run(harness.broker.replay_after_loss(["user:1", "user:2"], c, 10, [loss]))
    assert page.gap is GapReason.LOST


@with_features(detects_losses=True)
def test_a_gap_of_the_cursor_wins_over_a_real_loss(make_harness: MakeHarness) -> None:
    harness = make_harness()
    harness.publish(route("a"))
    a = harness.live[0].cursor
    assert isinstance(harness.broker, DetectsLosses)
    losses = [PossibleLoss("user:1", a.offset - 1, a.offset)]
    page = harness.run(harness.broker.replay_after_loss(["user:1"], Cursor("other", a.offset), 10, losses))
    assert page.gap is GapReason.EPOCH


def test_a_broker_implements_detects_losses_if_its_features_say_so(
    make_harness: MakeHarness, factory: BrokerFactory
) -> None:
    assert isinstance(make_harness().broker, DetectsLosses) is factory.features.detects_losses


@with_features(connects=True)
def test_before_the_store_is_reached_calls_raise_unavailable_and_trouble_says_why(make_harness: MakeHarness) -> None:
    harness = make_harness()
    broker = harness.unstarted()
    assert broker.trouble
    for call in (
        broker.publish([route("a")]),
        broker.subscribe(["user:1"]),
        broker.replay(["user:1"], None, 10),
        broker.position(),
        broker.revoke([Revocation("user:1", 1, 2**40)]),
    ):
        with pytest.raises(Unavailable):
            harness.run(call)
    broker.unsubscribe("user:1")
    assert broker.delivered().offset <= harness.position().offset


@with_features(shared=True)
def test_tasks_that_share_a_store_get_the_same_events_in_the_same_order(make_harness: MakeHarness) -> None:
    one = make_harness()
    other = one.other_task()
    for number, harness in enumerate((one, other, other, one)):
        harness.publish(route(str(number)))
    one.wait_for_delivery()
    other.wait_for_delivery()
    assert ids(one.live) == ["0", "1", "2", "3"]
    assert one.live == other.live


@with_features(shared=True)
def test_a_stream_resumes_on_another_task(make_harness: MakeHarness) -> None:
    one = make_harness()
    other = one.other_task()
    one.publish(route("a"), route("b"))
    page = other.replay(one.live[0].cursor)
    assert (page.gap, ids(page.entries)) == (None, ["b"])


@with_features(shared=True)
def test_a_redelivery_to_another_task_is_one_event(make_harness: MakeHarness) -> None:
    one = make_harness()
    other = one.other_task()
    one.publish(route("a"))
    other.publish(route("a"))
    assert ids(other.live) == ["a"]
    assert 'sse_duplicates_total{kind="same"} 1.0' in other.metrics.render().decode()


@with_features(shared=False)
def test_a_cursor_of_a_task_with_another_store_is_a_gap(make_harness: MakeHarness) -> None:
    one = make_harness()
    one.publish(route("a"))
    assert one.other_task().replay(one.live[0].cursor).gap is GapReason.EPOCH
