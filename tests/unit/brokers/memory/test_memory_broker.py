"""The memory broker removes idle channels and counts duplicates, and its position is never ahead of its listener."""

import asyncio
import logging
from collections.abc import Sequence

import pytest

from sse_service.brokers.base import Entry
from sse_service.brokers.memory.broker import IDLE_ORDER_SECONDS, MemoryBroker
from sse_service.brokers.memory.history import ENTRY_BYTES, size
from sse_service.model.events import Event, Route
from sse_service.model.reasons import GapReason
from sse_service.telemetry.metrics import Metrics
from tests.unit.task import no_revocations


def publish(broker: MemoryBroker, *routes: Route) -> None:
    asyncio.run(broker.publish(routes))


def test_the_channel_idle_longest_is_removed_and_its_cursors_give_a_gap() -> None:
    live: list[Entry] = []
    broker = MemoryBroker(listener=live.extend, metrics=Metrics(), max_channels=2, **no_revocations())
    before = asyncio.run(broker.position())
    publish(broker, *(Route(Event(str(n), "x"), (f"user:{n}",)) for n in range(3)))
    page = asyncio.run(broker.replay(["user:0"], before, 10))
    assert page.gap is GapReason.TRIMMED
    assert page.entries == ()


def test_a_new_event_makes_a_channel_the_last_to_be_removed() -> None:
    now = 1_000.0
    broker = MemoryBroker(
        listener=lambda _: None, metrics=Metrics(), max_channels=3, clock=lambda: now, **no_revocations()
    )
    before = asyncio.run(broker.position())
    for number, user in enumerate("abcaabd"):
        now += IDLE_ORDER_SECONDS
        publish(broker, Route(Event(str(number), "x"), (f"user:{user}",)))
    held = {user: asyncio.run(broker.replay([f"user:{user}"], before, 10)).entries for user in "abcd"}
    assert {user: len(entries) for user, entries in held.items()} == {"a": 3, "b": 2, "c": 0, "d": 1}
    publish(broker, Route(Event("7", "x"), ("user:e",)))
    assert asyncio.run(broker.replay(["user:a"], before, 10)).entries == ()
    assert len(asyncio.run(broker.replay(["user:b"], before, 10)).entries) == 2


def test_a_removed_channel_gives_no_gap_for_later_cursors() -> None:
    live: list[Entry] = []
    broker = MemoryBroker(listener=live.extend, metrics=Metrics(), max_channels=2, **no_revocations())
    publish(broker, *(Route(Event(str(n), "x"), (f"user:{n}",)) for n in range(3)))
    assert asyncio.run(broker.replay(["user:1"], live[0].cursor, 10)).gap is None


def test_a_channel_without_events_left_can_be_removed() -> None:
    now = 1_000.0
    broker = MemoryBroker(
        listener=lambda _: None,
        metrics=Metrics(),
        history_seconds=1,
        max_channels=1,
        clock=lambda: now,
        **no_revocations(),
    )
    publish(broker, Route(Event("a", "x"), ("user:1",)))
    now += 5
    asyncio.run(broker.replay(["user:1"], None, 10))
    publish(broker, Route(Event("b", "x"), ("user:2",)))
    assert [e.event.id for e in asyncio.run(broker.replay(["user:1", "user:2"], None, 10)).entries] == ["b"]


def test_stored_events_and_both_kinds_of_duplicates_are_counted(caplog: pytest.LogCaptureFixture) -> None:
    metrics = Metrics()
    broker = MemoryBroker(listener=lambda _: None, metrics=metrics, **no_revocations())
    with caplog.at_level(logging.WARNING):
        for data in ("x", "x", "secret"):
            publish(broker, Route(Event("a", data), ("user:1", "group:1")))
    text = metrics.render().decode()
    assert "sse_events_stored_total 1.0" in text
    assert 'sse_duplicates_total{kind="same"} 1.0' in text
    assert 'sse_duplicates_total{kind="differing"} 1.0' in text
    assert [record.getMessage() for record in caplog.records] == [
        "event a came again with other data or another type, and was not delivered: "
        "the producer must give each event its own id"
    ]


def test_the_order_of_channels_does_not_matter_for_duplicates() -> None:
    live: list[Entry] = []
    broker = MemoryBroker(listener=live.extend, metrics=Metrics(), **no_revocations())
    publish(broker, Route(Event("a", "x"), ("user:1", "user:2")), Route(Event("a", "x"), ("user:2", "user:1")))
    assert len(live) == 1


def test_beyond_the_maximum_of_dedupe_keys_the_oldest_is_forgotten() -> None:
    live: list[Entry] = []
    broker = MemoryBroker(listener=live.extend, metrics=Metrics(), max_dedupe_keys=2, **no_revocations())
    publish(broker, *(Route(Event(event_id, "x"), ("user:1",)) for event_id in "abcbca"))
    assert [entry.event.id for entry in live] == ["a", "b", "c", "a"]


def test_delivered_is_below_the_entries_while_the_listener_runs() -> None:
    seen: list[tuple[int, ...]] = []

    def listener(entries: Sequence[Entry]) -> None:
        seen.append((broker.delivered().offset, *(entry.cursor.offset for entry in entries)))

    broker = MemoryBroker(listener=listener, metrics=Metrics(), **no_revocations())
    publish(broker, Route(Event("a", "x"), ("user:1",)), Route(Event("b", "x"), ("user:1",)))
    publish(broker, Route(Event("c", "x"), ("user:1",)))
    (before, first, second), (between, third) = seen
    assert before < first < second == between < third


def test_the_size_of_an_entry_is_the_memory_it_takes() -> None:
    def bytes_of(data: str) -> int:
        return size(Event("a", data))

    assert bytes_of("x" * 1000) - bytes_of("") == 1000
    assert bytes_of("x" * 1000 + "😀") - bytes_of("😀") == 4000
    assert bytes_of("") > ENTRY_BYTES
