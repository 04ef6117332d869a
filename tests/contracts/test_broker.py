"""What every Broker promises."""

import asyncio
from collections.abc import Callable, Sequence

import pytest

from sse_service.brokers.base import Broker, Entry, Page
from sse_service.brokers.memory import MemoryBroker
from sse_service.cursor import Cursor, GapReason
from sse_service.events import Event, Route


class Clock:
    """A store's clock that a test moves."""

    def __init__(self) -> None:
        self.now = 1_790_000_000.0

    def __call__(self) -> float:
        return self.now


def route(event_id: str, *channels: str, data: str = "x") -> Route:
    return Route(Event(event_id, data), channels or ("user:1",))


Make = Callable[..., Broker]


class Setup:
    """One broker under test, with what its listener was handed."""

    def __init__(self, make: Make, **settings: object) -> None:
        self.clock = Clock()
        self.live: list[Entry] = []
        self.broker = make(listener=self.live.append, clock=self.clock, **settings)

    def publish(self, *routes: Route) -> None:
        asyncio.run(self.broker.publish(routes))

    def position(self) -> Cursor:
        return asyncio.run(self.broker.position())

    def replay(self, after: Cursor | None, *channels: str, limit: int = 100) -> Page:
        return asyncio.run(self.broker.replay(channels or ("user:1",), after, limit))


@pytest.fixture(params=[MemoryBroker], ids=["memory"])
def make(request: pytest.FixtureRequest) -> Make:
    broker: Make = request.param
    return broker


def ids(entries: Sequence[Entry]) -> list[str]:
    return [entry.event.id for entry in entries]


def test_live_and_replay_agree_on_one_rising_order(make: Make) -> None:
    setup = Setup(make)
    start = setup.position()
    setup.publish(route("a"), route("b", "user:2"), route("c", "user:1", "user:2"))
    page = setup.replay(start, "user:1", "user:2")
    assert ids(setup.live) == ids(page.entries) == ["a", "b", "c"]
    offsets = [entry.cursor.offset for entry in page.entries]
    assert offsets == sorted(set(offsets))
    assert offsets[0] > start.offset
    assert page.gap is None


def test_a_replay_gives_only_the_asked_channels(make: Make) -> None:
    setup = Setup(make)
    start = setup.position()
    setup.publish(route("a"), route("b", "user:2"))
    assert ids(setup.replay(start).entries) == ["a"]


def test_pages_join_without_a_hole_or_a_repeat(make: Make) -> None:
    setup = Setup(make)
    after = setup.position()
    setup.publish(*(route(str(n), f"user:{n % 2}") for n in range(10)))
    seen: list[str] = []
    while page := setup.replay(after, "user:0", "user:1", limit=3):
        assert page.gap is None
        seen += ids(page.entries)
        after = page.upto
        if len(page.entries) < 3:
            break
    assert seen == [str(n) for n in range(10)]


def test_no_later_event_is_at_or_below_a_position(make: Make) -> None:
    setup = Setup(make)
    setup.publish(route("a"))
    position = setup.position()
    setup.clock.now -= 60
    setup.publish(route("b"))
    assert setup.live[-1].cursor.offset > position.offset


def test_a_redelivery_is_one_event_within_the_window(make: Make) -> None:
    setup = Setup(make, dedupe_seconds=10)
    setup.publish(route("a"), route("a"))
    setup.publish(route("a"), route("a", "user:2"))
    assert len(setup.live) == 2
    setup.clock.now += 11
    setup.publish(route("a"))
    assert len(setup.live) == 3


def test_what_was_trimmed_by_number_is_a_gap_then_what_is_held(make: Make) -> None:
    setup = Setup(make, history_events=2)
    setup.publish(*(route(str(n)) for n in range(4)))
    page = setup.replay(setup.live[0].cursor)
    assert page.gap is GapReason.TRIMMED
    assert ids(page.entries) == ["2", "3"]
    assert setup.replay(setup.live[1].cursor).gap is None


def test_bytes_are_bounded_over_all_channels_and_what_left_is_a_gap(make: Make) -> None:
    setup = Setup(make, history_bytes=100)
    setup.publish(route("a", data="x" * 60), route("b", "user:2", data="x" * 60))
    assert ids(setup.replay(None, "user:1", "user:2").entries) == ["b"]
    before = Cursor(setup.live[0].cursor.epoch, setup.live[0].cursor.offset - 1)
    assert setup.replay(before).gap is GapReason.TRIMMED


def test_age_removes_and_a_cursor_older_than_it_has_expired(make: Make) -> None:
    setup = Setup(make, history_seconds=10)
    setup.publish(route("a"))
    setup.clock.now += 11
    page = setup.replay(setup.live[0].cursor)
    assert page.gap is GapReason.EXPIRED
    assert page.entries == ()


def test_a_channel_that_never_was_has_no_gap(make: Make) -> None:
    setup = Setup(make)
    assert setup.replay(setup.position(), "user:new").gap is None


@pytest.mark.parametrize("kind", ["other epoch", "future", "other epoch's future", "unread"])
def test_an_unprovable_cursor_is_a_gap_then_all_that_is_held(make: Make, kind: str) -> None:
    setup = Setup(make)
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


def test_subscribing_returns_and_unsubscribing_never_waits(make: Make) -> None:
    setup = Setup(make)
    asyncio.run(setup.broker.subscribe("user:1"))
    setup.publish(route("a"))
    setup.broker.unsubscribe("user:1")
    assert ids(setup.live) == ["a"]
