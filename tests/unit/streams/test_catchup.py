"""The catch-up replays what a stream missed and makes it live, without losing or repeating events."""

from __future__ import annotations

import json

import pytest

from sse_service.model.errors import Unavailable
from sse_service.streams.filter import Filter
from sse_service.streams.timer import Timer
from tests.conformance.parser import Message
from tests.unit.sinks import MemorySink
from tests.unit.task import Task, wait_until


def ready(sink: MemorySink) -> dict[str, object]:
    first: dict[str, object] = json.loads(sink.messages[0].data)
    assert sink.types[0] == "stream.ready"
    return first


def gaps(sink: MemorySink) -> list[str]:
    return [json.loads(m.data)["reason"] for m in sink.messages if m.type == "stream.gap"]


def events(sink: MemorySink) -> list[Message]:
    return [m for m in sink.messages if not m.type.startswith("stream.")]


def test_a_stream_without_a_cursor_starts_live_and_its_ready_event_has_an_id() -> None:
    task, sink = Task(), MemorySink()

    async def body() -> None:
        await task.publish("before")
        with task.open(sink) as subscription:
            await wait_until(lambda: subscription.live)
            await task.publish("after")

    task.run(body)
    assert ready(sink) == {"resumed": False, "user": "1"}
    assert sink.messages[0].id
    assert sink.data == ["after"]
    assert sink.types == ["stream.ready", "message"]


def test_a_resumed_stream_gets_the_missed_events_then_its_position_then_live_events() -> None:
    task, first, second = Task(), MemorySink(), MemorySink()

    async def body() -> None:
        with task.open(first) as subscription:
            await wait_until(lambda: subscription.live)
            await task.publish("a", "b")
        await task.publish("c", "d")
        with task.open(second, last=events(first)[0].id) as subscription:
            await wait_until(lambda: subscription.live)
            await task.publish("e")

    task.run(body)
    assert ready(second) == {"resumed": True, "user": "1"}
    assert not second.messages[0].id
    assert second.types == ["stream.ready", *["message"] * 3, "stream.cursor", "message"]
    assert second.data == ["b", "c", "d", "e"]


def test_a_history_of_many_pages_is_replayed_completely() -> None:
    task, sink = Task(), MemorySink()
    texts = [str(n) for n in range(357)]

    async def body() -> None:
        await task.publish(*texts)
        with task.open(sink, since="all") as subscription:
            await wait_until(lambda: subscription.live)

    task.run(body)
    assert sink.data == texts
    assert gaps(sink) == []
    assert "sse_replay_events_sum 357.0" in task.metrics.render().decode()


def test_events_published_during_a_replay_follow_it_exactly_once() -> None:
    task, sink = Task(), MemorySink()
    texts = [str(n) for n in range(300)]

    async def body() -> None:
        await task.publish(*texts[:250])
        with task.open(sink, since="all") as subscription:
            await wait_until(lambda: len(sink.data) > 0)
            for text in texts[250:]:
                await task.publish(text)
            await wait_until(lambda: subscription.live)

    task.run(body)
    assert sink.data == texts


@pytest.mark.parametrize("last", ["nonsense", "other.5.0", "\xff" * 300])
def test_an_unusable_cursor_gives_a_gap_and_then_the_whole_history(last: str) -> None:
    task, sink = Task(), MemorySink()

    async def body() -> None:
        await task.publish("a", "b")
        with task.open(sink, last=last) as subscription:
            await wait_until(lambda: subscription.live)

    task.run(body)
    assert ready(sink)["resumed"] is False
    assert sink.types == ["stream.ready", "stream.gap", "message", "message", "stream.cursor"]
    assert sink.messages[1].id


def test_a_stream_that_is_cut_right_after_a_gap_resumes_from_the_gaps_position() -> None:
    task, first, second = Task(), MemorySink(), MemorySink()

    async def body() -> None:
        await task.publish("a", "b")
        with task.open(first, last="nonsense") as subscription:
            await wait_until(lambda: subscription.live)
        with task.open(second, last=first.messages[1].id) as subscription:
            await wait_until(lambda: subscription.live)

    task.run(body)
    assert first.types[1] == "stream.gap"
    assert ready(second)["resumed"] is True
    assert second.data == ["a", "b"]


def test_resuming_from_a_trimmed_history_gives_a_gap() -> None:
    task, first, second = Task(history_events=2), MemorySink(), MemorySink()

    async def body() -> None:
        with task.open(first) as subscription:
            await wait_until(lambda: subscription.live)
        await task.publish("a", "b", "c")
        with task.open(second, last=first.messages[0].id) as subscription:
            await wait_until(lambda: subscription.live)

    task.run(body)
    assert gaps(second) == ["trimmed"]
    assert second.data == ["b", "c"]


def test_since_with_a_time_replays_events_from_that_time_on() -> None:
    task, sink = Task(), MemorySink()

    async def body() -> None:
        task.now += 1000
        await task.publish("old")
        task.now += 100
        await task.publish("young")
        with task.open(sink, since="50s") as subscription:
            await wait_until(lambda: subscription.live)

    task.run(body)
    assert ready(sink)["resumed"] is False
    assert gaps(sink) == []
    assert sink.data == ["young"]


def test_since_with_a_time_before_the_history_began_gives_a_gap() -> None:
    task, sink = Task(), MemorySink()

    async def body() -> None:
        task.now += 60
        await task.publish("a")
        with task.open(sink, since="10m") as subscription:
            await wait_until(lambda: subscription.live)

    task.run(body)
    assert gaps(sink) == ["epoch"]
    assert sink.data == ["a"]


def test_a_filtered_stream_replays_only_matching_events_and_resumes_after_the_others() -> None:
    task, first, second = Task(), MemorySink(), MemorySink()
    done = Filter(types=frozenset({"done"}))

    async def body() -> None:
        await task.publish("a", kind="done")
        await task.publish("b", "c", kind="progress")
        with task.open(first, since="all", filter=done) as subscription:
            await wait_until(lambda: subscription.live)
        with task.open(second, last=first.messages[-1].id, filter=done) as subscription:
            await wait_until(lambda: subscription.live)

    task.run(body)
    assert first.types == ["stream.ready", "done", "stream.cursor"]
    assert second.types == ["stream.ready", "stream.cursor"]


def test_an_event_on_two_of_a_streams_channels_is_written_once_both_live_and_replayed() -> None:
    task, live, replayed = Task(), MemorySink(), MemorySink()

    async def body() -> None:
        with task.open(live, groups=("ops",)) as subscription:
            await wait_until(lambda: subscription.live)
            await task.publish("a", channels=("user:1", "group:ops", "broadcast"))
        with task.open(replayed, groups=("ops",), since="all") as subscription:
            await wait_until(lambda: subscription.live)

    task.run(body)
    assert live.data == replayed.data == ["a"]


def test_a_new_stream_waits_while_the_broker_is_unavailable(monkeypatch: pytest.MonkeyPatch) -> None:
    task, sink = Task(), MemorySink()
    away, tries = True, 0
    subscribe = task.broker.subscribe

    async def fail(channel: str) -> None:
        nonlocal tries
        tries += 1
        if away:
            raise Unavailable
        await subscribe(channel)

    monkeypatch.setattr("sse_service.streams.catchup.RETRY_SECONDS", 0)
    monkeypatch.setattr(task.broker, "subscribe", fail)

    async def body() -> None:
        nonlocal away
        with task.open(sink) as subscription:
            await wait_until(lambda: tries > 2)
            assert sink.written == b""
            away = False
            await wait_until(lambda: subscription.live)

    task.run(body)
    assert sink.types == ["stream.ready"]


def test_a_stream_that_ends_before_its_greeting_leaves_nothing_behind() -> None:
    task, sink = Task(), MemorySink()

    async def body() -> None:
        with task.open(sink):
            pass
        with task.open(MemorySink()) as other:
            await wait_until(lambda: other.live)

    task.run(body)
    assert sink.written == b""
    assert len(task.streams) == 0
    assert len(task.hub._members) == 0


def test_an_error_in_the_catchup_cuts_that_stream_and_no_other(monkeypatch: pytest.MonkeyPatch) -> None:
    task, broken, sound = Task(), MemorySink(), MemorySink()

    def fail(_: object) -> bool:
        raise RuntimeError

    monkeypatch.setattr(broken, "write_service_event", fail)

    async def body() -> None:
        with task.open(broken) as first, task.open(sound) as second:
            await wait_until(lambda: second.live)
            assert first.closed
            assert broken.aborted

    task.run(body)
    assert 'sse_streams_closed_total{reason="error"} 1.0' in task.metrics.render().decode()


def test_an_idle_stream_older_than_the_history_falls_behind_without_a_gap() -> None:
    task, sink = Task(), MemorySink()
    timer = Timer(
        streams=task.streams,
        broker=task.broker,
        heartbeat_seconds=15,
        history_seconds=3600,
        clock=lambda: task.clock,
    )

    async def body() -> None:
        with task.open(sink) as subscription:
            await wait_until(lambda: subscription.live)
            for _ in range(5):
                task.now += 1300
                task.clock += 20
                await timer.tick()
            task.hub.lost({"user:1": 2**60})
            await wait_until(lambda: subscription.live)

    task.run(body)
    assert gaps(sink) == []
    assert "stream.cursor" in sink.types
