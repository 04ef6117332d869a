"""What the operator's page says of a task."""

from __future__ import annotations

import logging
from contextlib import ExitStack

from sse_service.operator.overview import USERS, Observer
from sse_service.operator.page import duration, fragment, page
from sse_service.operator.recent import KEPT, Recent
from sse_service.telemetry.health import Health
from tests.unit.sinks import MemorySink
from tests.unit.task import Task, settled


def observer(task: Task, *, recent: Recent | None = None, trouble: str | None = None) -> Observer:
    return Observer(
        streams=task.streams,
        health=Health(dependencies={"broker": lambda: trouble}),
        metrics=task.metrics,
        recent=recent or Recent(),
    )


def test_streams_are_counted_by_user_most_first() -> None:
    task = Task(max_streams=100)

    async def body() -> None:
        with ExitStack() as opened:
            sinks = [MemorySink() for _ in range(3)]
            streams = [opened.enter_context(task.open(sink, user="ann")) for sink in sinks]
            opened.enter_context(task.open(MemorySink(), user="bob"))
            await settled(lambda: all(stream.live for stream in streams))
            sinks[0].room = 1
            await task.publish("1", "2", channels=("user:ann",))
            seen = observer(task).look()
            assert [(u.user, u.streams, u.behind) for u in seen.users] == [("ann", 3, 1), ("bob", 1, 0)]
            assert (seen.streams, seen.behind, seen.users_not_shown) == (4, 1, 0)
            assert seen.users[0].oldest_seconds >= seen.users[0].newest_seconds >= 0

    task.run(body)


def test_only_those_with_the_most_streams_are_shown() -> None:
    task = Task(max_streams=100)

    async def body() -> None:
        with ExitStack() as opened:
            for number in range(USERS + 2):
                opened.enter_context(task.open(MemorySink(), user=f"u{number}"))
            seen = observer(task).look()
            assert len(seen.users) == USERS
            assert "And 2 more users." in fragment(seen, None)

    task.run(body)


def test_a_users_name_an_error_and_a_trouble_cannot_become_markup() -> None:
    task, recent = Task(), Recent()

    async def body() -> None:
        with task.open(MemorySink(), user="<script>1"), recent:
            logging.getLogger("sse_service").error("<script>%d", 2)
            text = page(
                observer(task, recent=recent, trouble="<script>3").look(), topic="<script>4", notice="<script>5"
            )
            assert [f"&lt;script&gt;{number}" in text for number in range(1, 6)] == [True] * 5
            assert "<script>" not in text

    task.run(body)


def test_rates_are_those_since_the_view_before() -> None:
    task = Task()
    watch = observer(task)
    before = watch.look()
    task.metrics.events_stored.inc(5)
    task.metrics.publish_to_write_seconds.observe(0.04)
    now = watch.look()
    text = fragment(now, before)
    rate = 5 / (now.at - before.at)
    assert f"<td>events stored</td><td>{rate:,.1f}</td><td>5</td>" in text
    assert "half within 50 ms, 99 in 100 within 50 ms" in text
    assert "<td>events stored</td><td>–</td><td>5</td>" in fragment(now, None)


def test_the_newest_warnings_are_kept_and_no_more_than_so_many() -> None:
    log = logging.getLogger("sse_service")
    with Recent() as recent:
        for number in range(KEPT + 5):
            log.warning("warning %d", number)
        log.info("not this")
        try:
            raise ValueError("a payload, perhaps")
        except ValueError:
            log.exception("failed")
    log.warning("afterwards")
    lines = recent.newest()
    assert len(lines) == KEPT
    assert lines[0].text == "failed (ValueError)"
    assert lines[1].text == f"warning {KEPT + 4}"
    assert "None since the start." not in fragment(observer(Task(), recent=recent).look(), None)


def test_durations_have_the_unit_that_fits() -> None:
    assert [duration(seconds) for seconds in (5, 120, 5400, 200_000)] == ["5 s", "2 min", "1.5 h", "2.3 d"]
