"""The contract of every Broker, tested only through its protocol."""

from collections.abc import Callable
from dataclasses import replace

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sse_service.brokers.base import Entry
from sse_service.model.cursor import Cursor, digest
from sse_service.model.events import Route
from sse_service.model.reasons import GapReason
from tests.contracts.harness import BrokerHarness, ids, route

MakeHarness = Callable[..., BrokerHarness]


def test_live_events_and_replay_have_the_same_order(make_harness: MakeHarness) -> None:
    harness = make_harness()
    start = harness.position()
    harness.publish(route("a"), route("b", "user:2"), route("c", "user:1", "user:2"))
    page = harness.replay(start, "user:1", "user:2")
    assert ids(harness.live) == ids(page.entries) == ["a", "b", "c"]
    offsets = [entry.cursor.offset for entry in page.entries]
    assert offsets == sorted(set(offsets))
    assert offsets[0] > start.offset
    assert page.gap is None


def test_an_entry_has_its_event_all_its_channels_and_the_digest_of_its_id(make_harness: MakeHarness) -> None:
    harness = make_harness()
    start, published = harness.position(), route("a", "user:1", "group:1")
    harness.publish(published)
    for entry in (*harness.live, *harness.replay(start).entries):
        assert (entry.event, entry.channels) == (published.event, published.channels)
        assert (entry.cursor.epoch, entry.cursor.digest) == (start.epoch, digest("a"))


def test_a_replay_has_only_the_given_channels(make_harness: MakeHarness) -> None:
    harness = make_harness()
    start = harness.position()
    harness.publish(route("a"), route("b", "user:2"))
    assert ids(harness.replay(start).entries) == ["a"]


def test_consecutive_pages_miss_and_repeat_nothing(make_harness: MakeHarness) -> None:
    harness = make_harness()
    after = harness.position()
    harness.publish(*(route(str(n), f"user:{n % 2}") for n in range(10)))
    seen: list[str] = []
    while page := harness.replay(after, "user:0", "user:1", limit=3):
        assert page.gap is None
        seen += ids(page.entries)
        after = page.upto
        if not page.more:
            break
    assert seen == [str(n) for n in range(10)]


def test_later_events_are_above_a_position(make_harness: MakeHarness) -> None:
    harness = make_harness()
    harness.publish(route("a"))
    position = harness.position()
    harness.clock.now -= 60
    harness.publish(route("b"))
    assert harness.live[-1].cursor.offset > position.offset


def test_a_redelivery_within_the_dedupe_window_is_one_event(make_harness: MakeHarness) -> None:
    harness = make_harness(dedupe_seconds=10)
    harness.publish(route("a"), route("a"))
    harness.publish(route("a"), route("a", "user:2"))
    assert len(harness.live) == 2
    harness.clock.now += 11
    harness.publish(route("a"))
    assert len(harness.live) == 3


def test_a_cursor_below_trimmed_events_gives_a_gap_and_what_is_left(make_harness: MakeHarness) -> None:
    harness = make_harness(history_events=2)
    harness.publish(*(route(str(n)) for n in range(4)))
    page = harness.replay(harness.live[0].cursor)
    assert page.gap is GapReason.TRIMMED
    assert ids(page.entries) == ["2", "3"]
    assert harness.replay(harness.live[1].cursor).gap is None


def test_events_beyond_the_limit_of_bytes_are_removed(make_harness: MakeHarness) -> None:
    harness = make_harness(history_bytes=20_000)
    before = harness.position()
    harness.publish(route("a", data="x" * 12_000), route("b", "user:2", data="x" * 12_000))
    assert ids(harness.replay(None, "user:1", "user:2").entries) == ["b"]
    assert harness.replay(before).gap is GapReason.TRIMMED


def test_a_cursor_older_than_the_history_is_expired(make_harness: MakeHarness) -> None:
    harness = make_harness(history_seconds=10)
    harness.publish(route("a"))
    harness.clock.now += 11
    page = harness.replay(harness.live[0].cursor)
    assert page.gap is GapReason.EXPIRED
    assert page.entries == ()


def test_a_channel_without_events_has_no_gap(make_harness: MakeHarness) -> None:
    harness = make_harness()
    assert harness.replay(harness.position(), "user:new").gap is None


@pytest.mark.parametrize("kind", ["other epoch", "future", "other epoch's future", "unread"])
def test_an_unusable_cursor_gives_a_gap_and_everything_left(make_harness: MakeHarness, kind: str) -> None:
    harness = make_harness()
    harness.publish(route("a"))
    here = harness.position()
    after, reason = {
        "other epoch": (Cursor("other", 1), GapReason.EPOCH),
        "future": (Cursor(here.epoch, here.offset + 10**9), GapReason.UNKNOWN),
        "other epoch's future": (Cursor("other", here.offset + 10**9), GapReason.EPOCH),
        "unread": (None, GapReason.UNKNOWN),
    }[kind]
    page = harness.replay(after)
    assert page.gap is reason
    assert ids(page.entries) == ["a"]


def test_channels_can_be_subscribed_again_and_unsubscribed(make_harness: MakeHarness) -> None:
    harness = make_harness()
    harness.run(harness.broker.subscribe(["user:1"]))
    harness.publish(route("a"))
    harness.broker.unsubscribe("user:1")
    assert ids(harness.live) == ["a"]


def test_events_without_text_count_towards_the_limit_of_bytes(make_harness: MakeHarness) -> None:
    harness = make_harness(history_bytes=10_000)
    harness.publish(*(route(str(n), data="") for n in range(100)))
    assert len(harness.replay(None).entries) < 50


def test_a_page_has_nothing_above_upto_and_later_events_are_above_it(make_harness: MakeHarness) -> None:
    harness = make_harness()
    after = harness.position()
    harness.publish(*(route(str(n), f"user:{n % 2}", "broadcast") for n in range(6)))
    for limit in (1, 2, 6, 7):
        page = harness.replay(after, "user:0", "broadcast", limit=limit)
        assert len(page.entries) == min(limit, 6)
        assert all(entry.cursor.offset <= page.upto.offset for entry in page.entries)
    harness.publish(route("later"))
    assert harness.live[-1].cursor.offset > page.upto.offset


def test_an_entry_of_several_channels_is_in_a_page_once(make_harness: MakeHarness) -> None:
    harness = make_harness()
    after = harness.position()
    harness.publish(route("a", "user:1", "user:2", "user:3"), route("b", "user:3"), route("c", "user:1", "user:3"))
    page = harness.replay(after, "user:1", "user:2", "user:3", limit=2)
    assert ids(page.entries) == ["a", "b"]
    assert page.upto == page.entries[-1].cursor
    assert ids(harness.replay(page.upto, "user:1", "user:2", "user:3", limit=2).entries) == ["c"]


def test_expired_events_give_no_gap_for_a_younger_cursor(make_harness: MakeHarness) -> None:
    harness = make_harness(history_seconds=10)
    harness.publish(route("a"))
    harness.clock.now += 11
    middle = harness.position()
    harness.publish(route("b"))
    harness.clock.now += 5
    page = harness.replay(middle)
    assert page.gap is None
    assert ids(page.entries) == ["b"]


def test_the_listener_has_got_everything_at_or_below_delivered(make_harness: MakeHarness) -> None:
    harness = make_harness()
    harness.publish(route("a"), route("b"))
    delivered = harness.delivered()
    assert delivered.offset >= harness.live[-1].cursor.offset
    harness.clock.now -= 60
    harness.publish(route("c"))
    assert harness.live[-1].cursor.offset > delivered.offset
    assert harness.replay(delivered).gap is None
    assert ids(harness.replay(delivered).entries) == ["c"]


def test_delivered_never_falls_and_does_not_expire_without_events(make_harness: MakeHarness) -> None:
    harness = make_harness(history_seconds=10)
    first = harness.delivered()
    harness.clock.now -= 5
    assert harness.delivered().offset >= first.offset
    harness.clock.now += 65
    assert harness.replay(harness.delivered()).gap is None


def test_an_events_trace_is_kept_and_does_not_make_a_duplicate_another_event(make_harness: MakeHarness) -> None:
    harness = make_harness()
    start = harness.position()
    first, again = (replace(route("a").event, trace=f"00-{digit * 32}-{digit * 16}-01") for digit in "12")
    harness.publish(Route(first, ("user:1",)), route("b"))
    harness.publish(Route(again, ("user:1",)))
    for entries in (harness.live, harness.replay(start).entries):
        assert [(entry.event.id, entry.event.trace) for entry in entries] == [("a", first.trace), ("b", None)]
        assert [entry.channels for entry in entries] == [("user:1",), ("user:1",)]
    assert 'sse_duplicates_total{kind="same"} 1.0' in harness.metrics.render().decode()


def test_a_reused_id_with_other_data_is_a_duplicate_that_is_counted_separately(make_harness: MakeHarness) -> None:
    harness = make_harness()
    harness.publish(route("a"), route("a", data="other"), route("a"))
    assert ids(harness.live) == ["a"]
    text = harness.metrics.render().decode()
    assert 'sse_duplicates_total{kind="same"} 1.0' in text
    assert 'sse_duplicates_total{kind="differing"} 1.0' in text
    assert "sse_events_stored_total 1.0" in text


def test_a_clock_that_steps_back_gives_no_gaps(make_harness: MakeHarness) -> None:
    harness = make_harness()
    harness.clock.now -= 60
    here = harness.position()
    harness.publish(route("a"))
    assert harness.replay(here).gap is None
    assert ids(harness.replay(here).entries) == ["a"]
    assert harness.replay(harness.live[0].cursor).gap is None


def test_pages_over_many_channels_miss_nothing(make_harness: MakeHarness) -> None:
    harness = make_harness()
    before = harness.position()
    harness.publish(*(route(f"{number}", f"group:{number % 7}") for number in range(60)))
    harness.publish(*(route(f"{number}", "group:1") for number in range(60, 100)))
    entries, gap = read_all_pages(harness, before, {f"group:{number}" for number in range(7)}, 20)
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
def test_a_replay_from_any_position_is_complete_or_has_a_gap(
    make_harness: MakeHarness, steps: list[tuple[str, ...] | int], mine: set[str], limit: int, most_bytes: int
) -> None:
    """Publishes events to random channels beyond every limit of History, and moves the clock on and back in between."""
    harness = make_harness(history_events=3, history_seconds=20, history_bytes=most_bytes)
    cursors = [harness.position()]
    for number, step in enumerate(steps):
        if isinstance(step, int):
            harness.clock.now += step
        else:
            harness.publish(route(str(number), *step, data="x" * 500))
            cursors.append(harness.live[-1].cursor)
        cursors += [harness.position(), harness.delivered()]
    for after in cursors:
        expected = [e for e in harness.live if e.cursor.offset > after.offset and mine.intersection(e.channels)]
        entries, gap = read_all_pages(harness, after, mine, limit)
        if gap is None:
            assert entries == expected
        else:
            assert set(entries) <= set(expected)


def read_all_pages(
    harness: BrokerHarness, after: Cursor, channels: set[str], limit: int
) -> tuple[list[Entry], GapReason | None]:
    entries: list[Entry] = []
    gap = None
    while True:
        page = harness.replay(after, *channels, limit=limit)
        gap = gap or page.gap
        entries += page.entries
        assert all(entry.cursor.offset <= page.upto.offset for entry in page.entries)
        if not page.more:
            return entries, gap
        assert page.entries
        after = page.upto
