"""Tasks of the previous release and of this one share a store. Neither notices the other."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import redis
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sse_service.model.reasons import GapReason
from tests.contracts.harness import BrokerHarness, ids, route
from tests.contracts.previous_release import PreviousFactory
from tests.integration.valkey import Valkey

pytestmark = pytest.mark.parametrize("factory", ["valkey"], indirect=True)

MakeHarness = Callable[..., BrokerHarness]


def two_releases(make_harness: MakeHarness, server: Valkey, **limits: object) -> tuple[BrokerHarness, BrokerHarness]:
    """Return a task of this release, and one of the previous release."""
    new = make_harness(**limits)
    return new, BrokerHarness(PreviousFactory(server), shares_store_with=new, **limits)


CHANNELS = ("user:1", "user:2", "user:3", "broadcast")
STEP = st.one_of(
    st.tuples(
        st.booleans(),
        st.lists(
            st.tuples(
                st.integers(0, 60),
                st.lists(st.sampled_from(CHANNELS), min_size=1, max_size=3, unique=True),
                st.sampled_from([0, 0, 0, 3000]),
            ),
            min_size=1,
            max_size=5,
        ),
    ),
    st.integers(0, 30),
)


@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(steps=st.lists(STEP, max_size=20), history_bytes=st.sampled_from([20_000, 2**20]))
def test_every_event_reaches_tasks_of_both_releases_in_one_order(
    make_harness: MakeHarness,
    server: Valkey,
    client: redis.Redis,
    steps: list[tuple[bool, list[tuple[int, list[str], int]]] | int],
    history_bytes: int,
) -> None:
    """Publishes events with either, some of them again, and moves the clock.

    No event is just at the limit of age: each call of a script moves that by a microsecond.
    """
    new, previous = two_releases(
        make_harness, server, history_events=10, history_seconds=59.5, history_bytes=history_bytes, dedupe_seconds=20
    )
    before = new.position()
    for step in steps:
        if isinstance(step, int):
            new.clock.now += step
            continue
        by_new, events = step
        one, other = (new, previous) if by_new else (previous, new)
        cursor = new.live[-1].cursor if new.live else before
        one.publish(*(route(f"{number}", *channels, data="x" * size) for number, channels, size in events))
        other.wait_for_delivery()
        assert new.live == previous.live
        for channel in CHANNELS:
            pages = [each.replay(after, channel) for after in (cursor, before, None) for each in (new, previous)]
            assert pages[::2] == [
                type(page)(page.entries, pages[2 * number].upto, page.gap, page.more)
                for number, page in enumerate(pages[1::2])
            ]
            after = [entry for entry in new.live if channel in entry.channels and entry.cursor.offset > cursor.offset]
            assert pages[0].gap or list(pages[0].entries) == after
    assert {entry.cursor.epoch for entry in new.live} <= {before.epoch}
    for each in (new, previous):
        assert "sse_broker_jumps_total 0.0" in each.metrics.render().decode()


def test_the_store_of_the_previous_release_is_taken_over(make_harness: MakeHarness, server: Valkey) -> None:
    new, previous = two_releases(make_harness, server)
    before = previous.position()
    previous.publish(*(route(str(number), f"user:{number % 3}") for number in range(30)), route("all", "broadcast"))
    new.publish(route("later", "user:1"), route("all", "broadcast"))
    page = new.replay(before, "user:1", "broadcast")
    assert page.gap is None
    assert ids(page.entries) == [*(str(number) for number in range(1, 30, 3)), "all", "later"]
    assert 'sse_duplicates_total{kind="same"} 1.0' in new.metrics.render().decode()


@pytest.mark.parametrize("by_new", [True, False])
def test_a_loss_is_a_gap_for_tasks_of_both_releases(
    make_harness: MakeHarness, server: Valkey, client: redis.Redis, by_new: bool
) -> None:
    new, previous = two_releases(make_harness, server)
    before = new.position()
    new.publish(route("a"))
    previous.publish(route("b"))
    client.delete("{sse}:history:user:1")
    (new if by_new else previous).publish(route("c"))
    for each in (new, previous):
        each.wait_for_delivery()
        assert each.replay(before).gap is GapReason.TRIMMED
        assert ids(each.live) == ["a", "b", "c"]


@pytest.mark.parametrize("by_new", [True, False])
def test_a_new_epoch_holds_for_tasks_of_both_releases(
    make_harness: MakeHarness, server: Valkey, client: redis.Redis, by_new: bool
) -> None:
    new, previous = two_releases(make_harness, server)
    before = new.position()
    new.publish(route("a"))
    client.delete("{sse}:seen")
    (new if by_new else previous).publish(route("b"))
    for each in (new, previous):
        each.wait_for_delivery()
        page = each.replay(before)
        assert page.gap is GapReason.EPOCH
        assert ids(page.entries) == ["b"]
        assert page.upto.epoch == new.live[-1].cursor.epoch
