"""What every Broker promises, tested through the protocol alone."""

from collections.abc import Callable

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sse_service.brokers.base import Entry
from sse_service.model.cursor import Cursor, digest
from sse_service.model.reasons import GapReason
from tests.contracts.setup import Setup, ids, route

SetupOf = Callable[..., Setup]


def test_live_and_replay_agree_on_one_rising_order(setup_of: SetupOf) -> None:
    setup = setup_of()
    start = setup.position()
    setup.publish(route("a"), route("b", "user:2"), route("c", "user:1", "user:2"))
    page = setup.replay(start, "user:1", "user:2")
    assert ids(setup.live) == ids(page.entries) == ["a", "b", "c"]
    offsets = [entry.cursor.offset for entry in page.entries]
    assert offsets == sorted(set(offsets))
    assert offsets[0] > start.offset
    assert page.gap is None


def test_an_entry_has_its_event_all_its_channels_and_the_digest_of_its_id(setup_of: SetupOf) -> None:
    setup = setup_of()
    start, published = setup.position(), route("a", "user:1", "group:1")
    setup.publish(published)
    for entry in (*setup.live, *setup.replay(start).entries):
        assert (entry.event, entry.channels) == (published.event, published.channels)
        assert (entry.cursor.epoch, entry.cursor.digest) == (start.epoch, digest("a"))


def test_a_replay_gives_only_the_asked_channels(setup_of: SetupOf) -> None:
    setup = setup_of()
    start = setup.position()
    setup.publish(route("a"), route("b", "user:2"))
    assert ids(setup.replay(start).entries) == ["a"]


def test_pages_join_without_a_hole_or_a_repeat(setup_of: SetupOf) -> None:
    setup = setup_of()
    after = setup.position()
    setup.publish(*(route(str(n), f"user:{n % 2}") for n in range(10)))
    seen: list[str] = []
    while page := setup.replay(after, "user:0", "user:1", limit=3):
        assert page.gap is None
        seen += ids(page.entries)
        after = page.upto
        if not page.more:
            break
    assert seen == [str(n) for n in range(10)]


def test_no_later_event_is_at_or_below_a_position(setup_of: SetupOf) -> None:
    setup = setup_of()
    setup.publish(route("a"))
    position = setup.position()
    setup.clock.now -= 60
    setup.publish(route("b"))
    assert setup.live[-1].cursor.offset > position.offset


def test_a_redelivery_is_one_event_within_the_window(setup_of: SetupOf) -> None:
    setup = setup_of(dedupe_seconds=10)
    setup.publish(route("a"), route("a"))
    setup.publish(route("a"), route("a", "user:2"))
    assert len(setup.live) == 2
    setup.clock.now += 11
    setup.publish(route("a"))
    assert len(setup.live) == 3


def test_events_beyond_the_number_are_a_gap_then_what_is_left(setup_of: SetupOf) -> None:
    setup = setup_of(history_events=2)
    setup.publish(*(route(str(n)) for n in range(4)))
    page = setup.replay(setup.live[0].cursor)
    assert page.gap is GapReason.TRIMMED
    assert ids(page.entries) == ["2", "3"]
    assert setup.replay(setup.live[1].cursor).gap is None


def test_events_beyond_the_bytes_of_all_channels_are_a_gap(setup_of: SetupOf) -> None:
    setup = setup_of(history_bytes=20_000)
    before = setup.position()
    setup.publish(route("a", data="x" * 12_000), route("b", "user:2", data="x" * 12_000))
    assert ids(setup.replay(None, "user:1", "user:2").entries) == ["b"]
    assert setup.replay(before).gap is GapReason.TRIMMED


def test_a_cursor_older_than_the_history_has_expired(setup_of: SetupOf) -> None:
    setup = setup_of(history_seconds=10)
    setup.publish(route("a"))
    setup.clock.now += 11
    page = setup.replay(setup.live[0].cursor)
    assert page.gap is GapReason.EXPIRED
    assert page.entries == ()


def test_a_channel_without_events_has_no_gap(setup_of: SetupOf) -> None:
    setup = setup_of()
    assert setup.replay(setup.position(), "user:new").gap is None


@pytest.mark.parametrize("kind", ["other epoch", "future", "other epoch's future", "unread"])
def test_an_unprovable_cursor_is_a_gap_then_everything_left(setup_of: SetupOf, kind: str) -> None:
    setup = setup_of()
    setup.publish(route("a"))
    here = setup.position()
    after, reason = {
        "other epoch": (Cursor("other", 1), GapReason.EPOCH),
        "future": (Cursor(here.epoch, here.offset + 10**9), GapReason.UNKNOWN),
        "other epoch's future": (Cursor("other", here.offset + 10**9), GapReason.EPOCH),
        "unread": (None, GapReason.UNKNOWN),
    }[kind]
    page = setup.replay(after)
    assert page.gap is reason
    assert ids(page.entries) == ["a"]


def test_subscribing_returns_and_unsubscribing_never_waits(setup_of: SetupOf) -> None:
    setup = setup_of()
    setup.run(setup.broker.subscribe(["user:1"]))
    setup.publish(route("a"))
    setup.broker.unsubscribe("user:1")
    assert ids(setup.live) == ["a"]


def test_events_without_text_are_bounded_by_bytes_too(setup_of: SetupOf) -> None:
    setup = setup_of(history_bytes=10_000)
    setup.publish(*(route(str(n), data="") for n in range(100)))
    assert len(setup.replay(None).entries) < 50


def test_a_replay_gives_nothing_above_upto_and_the_listener_gets_all_above(setup_of: SetupOf) -> None:
    setup = setup_of()
    after = setup.position()
    setup.publish(*(route(str(n), f"user:{n % 2}", "broadcast") for n in range(6)))
    for limit in (1, 2, 6, 7):
        page = setup.replay(after, "user:0", "broadcast", limit=limit)
        assert len(page.entries) == min(limit, 6)
        assert all(entry.cursor.offset <= page.upto.offset for entry in page.entries)
    setup.publish(route("later"))
    assert setup.live[-1].cursor.offset > page.upto.offset


def test_an_entry_of_many_channels_neither_repeats_nor_shortens_a_page(setup_of: SetupOf) -> None:
    setup = setup_of()
    after = setup.position()
    setup.publish(route("a", "user:1", "user:2", "user:3"), route("b", "user:3"), route("c", "user:1", "user:3"))
    page = setup.replay(after, "user:1", "user:2", "user:3", limit=2)
    assert ids(page.entries) == ["a", "b"]
    assert page.upto == page.entries[-1].cursor
    assert ids(setup.replay(page.upto, "user:1", "user:2", "user:3", limit=2).entries) == ["c"]


def test_expired_events_make_no_gap_for_a_younger_cursor(setup_of: SetupOf) -> None:
    setup = setup_of(history_seconds=10)
    setup.publish(route("a"))
    setup.clock.now += 11
    middle = setup.position()
    setup.publish(route("b"))
    setup.clock.now += 5
    page = setup.replay(middle)
    assert page.gap is None
    assert ids(page.entries) == ["b"]


def test_the_listener_was_handed_everything_at_or_below_delivered(setup_of: SetupOf) -> None:
    setup = setup_of()
    setup.publish(route("a"), route("b"))
    delivered = setup.delivered()
    assert delivered.offset >= setup.live[-1].cursor.offset
    setup.clock.now -= 60
    setup.publish(route("c"))
    assert setup.live[-1].cursor.offset > delivered.offset
    assert setup.replay(delivered).gap is None
    assert ids(setup.replay(delivered).entries) == ["c"]


def test_delivered_never_falls_and_stays_young_on_a_silent_system(setup_of: SetupOf) -> None:
    setup = setup_of(history_seconds=10)
    first = setup.delivered()
    setup.clock.now -= 5
    assert setup.delivered().offset >= first.offset
    setup.clock.now += 65
    assert setup.replay(setup.delivered()).gap is None


def test_a_used_id_with_other_data_is_not_delivered_again_but_counted_apart(setup_of: SetupOf) -> None:
    setup = setup_of()
    setup.publish(route("a"), route("a", data="other"), route("a"))
    assert ids(setup.live) == ["a"]
    text = setup.metrics.render().decode()
    assert 'sse_duplicates_total{kind="same"} 1.0' in text
    assert 'sse_duplicates_total{kind="differing"} 1.0' in text
    assert "sse_events_stored_total 1.0" in text


def test_a_clock_that_steps_back_after_the_start_makes_no_cursor_unprovable(setup_of: SetupOf) -> None:
    setup = setup_of()
    setup.clock.now -= 60
    here = setup.position()
    setup.publish(route("a"))
    assert setup.replay(here).gap is None
    assert ids(setup.replay(here).entries) == ["a"]
    assert setup.replay(setup.live[0].cursor).gap is None


def test_pages_of_many_channels_miss_nothing(setup_of: SetupOf) -> None:
    setup = setup_of()
    before = setup.position()
    setup.publish(*(route(f"{number}", f"group:{number % 7}") for number in range(60)))
    setup.publish(*(route(f"{number}", "group:1") for number in range(60, 100)))
    entries, gap = paged(setup, before, {f"group:{number}" for number in range(7)}, 20)
    assert gap is None
    assert ids(entries) == [str(number) for number in range(100)]


CHANNELS = ("user:1", "user:2", "group:1", "broadcast")
STEP = st.one_of(
    st.lists(st.sampled_from(CHANNELS), min_size=1, max_size=3, unique=True).map(tuple),
    st.integers(-3, 8),
)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    steps=st.lists(STEP, min_size=10, max_size=40),
    mine=st.sets(st.sampled_from(CHANNELS), min_size=1),
    limit=st.integers(1, 5),
    most_bytes=st.sampled_from([8_000, 20_000]),
)
def test_from_any_position_everything_after_it_is_replayed_or_there_is_a_gap(
    setup_of: SetupOf, steps: list[tuple[str, ...] | int], mine: set[str], limit: int, most_bytes: int
) -> None:
    """Events of random channels, with a clock that goes on or back between them, beyond every limit of the History."""
    setup = setup_of(history_events=3, history_seconds=20, history_bytes=most_bytes)
    cursors = [setup.position()]
    for number, step in enumerate(steps):
        if isinstance(step, int):
            setup.clock.now += step
        else:
            setup.publish(route(str(number), *step, data="x" * 500))
            cursors.append(setup.live[-1].cursor)
        cursors += [setup.position(), setup.delivered()]
    for after in cursors:
        expected = [e for e in setup.live if e.cursor.offset > after.offset and mine.intersection(e.channels)]
        entries, gap = paged(setup, after, mine, limit)
        if gap is None:
            assert entries == expected
        else:
            assert set(entries) <= set(expected)


def paged(setup: Setup, after: Cursor, channels: set[str], limit: int) -> tuple[list[Entry], GapReason | None]:
    entries: list[Entry] = []
    gap = None
    while True:
        page = setup.replay(after, *channels, limit=limit)
        gap = gap or page.gap
        entries += page.entries
        assert all(entry.cursor.offset <= page.upto.offset for entry in page.entries)
        if not page.more:
            return entries, gap
        assert page.entries
        after = page.upto
