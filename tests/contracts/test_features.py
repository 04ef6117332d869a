"""What only some brokers can do: detect losses, share a store, connect to one."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from sse_service.brokers.base import DetectsLosses, Page, PossibleLoss
from sse_service.model.cursor import Cursor
from sse_service.model.errors import Unavailable
from sse_service.model.reasons import GapReason
from tests.contracts.brokers import Maker, having
from tests.contracts.setup import Setup, ids, route

SetupOf = Callable[..., Setup]


@having(detects_losses=True)
def test_a_real_loss_is_a_gap_and_the_page_begins_with_it(setup_of: SetupOf) -> None:
    setup = setup_of()
    setup.publish(route("a"), route("b"), route("c", "user:2"), route("d"))
    a, b, c, d = (entry.cursor for entry in setup.live)

    def asked(*losses: PossibleLoss) -> Page:
        assert isinstance(setup.broker, DetectsLosses)
        return setup.run(setup.broker.replay_after_loss(["user:1", "user:2"], c, 10, losses))

    for unfounded in (
        PossibleLoss("user:1", b.offset, c.offset),
        PossibleLoss("user:2", 0, b.offset),
        PossibleLoss("user:3", 0, c.offset),
    ):
        page = asked(unfounded)
        assert (page.gap, ids(page.entries)) == (None, ["d"])
    page = asked(PossibleLoss("user:2", c.offset, d.offset), PossibleLoss("user:1", a.offset, c.offset))
    assert (page.gap, ids(page.entries)) == (GapReason.LOST, ["b", "c", "d"])


@having(detects_losses=True)
def test_a_possible_loss_whose_history_is_trimmed_is_a_gap(setup_of: SetupOf) -> None:
    setup = setup_of(history_events=1)
    setup.publish(route("a"), route("b"), route("c", "user:2"))
    a, _, c = (entry.cursor for entry in setup.live)
    loss = PossibleLoss("user:1", a.offset - 1, a.offset)
    assert isinstance(setup.broker, DetectsLosses)
    page = setup.run(setup.broker.replay_after_loss(["user:1", "user:2"], c, 10, [loss]))
    assert page.gap is GapReason.LOST


@having(detects_losses=True)
def test_another_gap_wins_over_a_real_loss(setup_of: SetupOf) -> None:
    setup = setup_of()
    setup.publish(route("a"))
    a = setup.live[0].cursor
    assert isinstance(setup.broker, DetectsLosses)
    losses = [PossibleLoss("user:1", a.offset - 1, a.offset)]
    page = setup.run(setup.broker.replay_after_loss(["user:1"], Cursor("other", a.offset), 10, losses))
    assert page.gap is GapReason.EPOCH


def test_a_broker_detects_losses_only_if_its_features_say_so(setup_of: SetupOf, make: Maker) -> None:
    assert isinstance(setup_of().broker, DetectsLosses) is make.features.detects_losses


@having(connects=True)
def test_until_the_store_is_reached_calls_raise_unavailable_and_trouble_says_why(setup_of: SetupOf) -> None:
    setup = setup_of()
    broker = setup.unstarted()
    assert broker.trouble
    for call in (
        broker.publish([route("a")]),
        broker.subscribe(["user:1"]),
        broker.replay(["user:1"], None, 10),
        broker.position(),
    ):
        with pytest.raises(Unavailable):
            setup.run(call)
    broker.unsubscribe("user:1")
    assert broker.delivered().offset <= setup.position().offset


@having(shared=True)
def test_tasks_that_share_a_store_hear_the_same_events_in_the_same_order(setup_of: SetupOf) -> None:
    one = setup_of()
    other = one.beside()
    for number, setup in enumerate((one, other, other, one)):
        setup.publish(route(str(number)))
    one.settle()
    other.settle()
    assert ids(one.live) == ["0", "1", "2", "3"]
    assert one.live == other.live


@having(shared=True)
def test_a_stream_resumes_on_another_task(setup_of: SetupOf) -> None:
    one = setup_of()
    other = one.beside()
    one.publish(route("a"), route("b"))
    page = other.replay(one.live[0].cursor)
    assert (page.gap, ids(page.entries)) == (None, ["b"])


@having(shared=True)
def test_a_redelivery_to_another_task_is_one_event(setup_of: SetupOf) -> None:
    one = setup_of()
    other = one.beside()
    one.publish(route("a"))
    other.publish(route("a"))
    assert ids(other.live) == ["a"]
    assert 'sse_duplicates_total{kind="same"} 1.0' in other.metrics.render().decode()


@having(shared=False)
def test_a_cursor_of_another_task_is_a_gap(setup_of: SetupOf) -> None:
    one = setup_of()
    one.publish(route("a"))
    assert one.beside().replay(one.live[0].cursor).gap is GapReason.EPOCH
