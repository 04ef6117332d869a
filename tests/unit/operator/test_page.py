"""The operator's page shows what its task does."""

from __future__ import annotations

import logging
from contextlib import ExitStack

from sse_service.operator.number_formats import duration
from sse_service.operator.overview import MAX_USERS, Inspector
from sse_service.operator.page import render_overview, render_page
from sse_service.operator.recent_warnings import MAX_LINES, RecentWarnings
from sse_service.operator.samples import Samples
from sse_service.telemetry.health import Health
from tests.unit.sinks import MemorySink
from tests.unit.task import Task, wait_until


def inspector(
    task: Task, *, warnings: RecentWarnings | None = None, trouble: str | None = None, note: str | None = None
) -> Inspector:
    return Inspector(
        streams=task.streams,
        health=Health(dependencies={"broker": lambda: trouble}, notes={"broker": lambda: note}),
        metrics=task.metrics,
        samples=Samples(metrics=task.metrics),
        warnings=warnings or RecentWarnings(),
    )


def test_users_are_listed_with_the_most_streams_first() -> None:
    task = Task(max_streams=100)

    async def body() -> None:
        with ExitStack() as opened:
            sinks = [MemorySink() for _ in range(3)]
            streams = [opened.enter_context(task.open(sink, user="ann")) for sink in sinks]
            opened.enter_context(task.open(MemorySink(), user="bob"))
            await wait_until(lambda: all(stream.live for stream in streams))
            sinks[0].room = 1
            await task.publish("1", "2", channels=("user:ann",))
            seen = inspector(task).inspect()
            assert [(u.user, u.streams, u.behind) for u in seen.users] == [("ann", 3, 1), ("bob", 1, 0)]
            assert (seen.streams, seen.behind, seen.user_count) == (4, 1, 2)
            assert seen.users[0].oldest_seconds >= seen.users[0].newest_seconds >= 0

    task.run(body)


def test_only_the_users_with_the_most_streams_are_listed() -> None:
    task = Task(max_streams=100)

    async def body() -> None:
        with ExitStack() as opened:
            for number in range(MAX_USERS + 2):
                opened.enter_context(task.open(MemorySink(), user=f"u{number}"))
            seen = inspector(task).inspect()
            assert len(seen.users) == MAX_USERS
            assert "And 2 more users." in render_overview(seen, None)

    task.run(body)


def test_names_warnings_and_troubles_are_escaped() -> None:
    task, warnings = Task(), RecentWarnings()

    async def body() -> None:
        with task.open(MemorySink(), user="<script>1"), warnings:
            logging.getLogger("sse_service").error("<script>%d", 2)
            seen = inspector(task, warnings=warnings, trouble="<script>3").inspect()
            text = render_page(seen, topic="<script>4", notice="<script>5")
            assert [f"&lt;script&gt;{number}" in text for number in range(1, 6)] == [True] * 5
            assert "<script>" not in text

    task.run(body)


def test_a_note_about_a_dependency_that_works_is_shown() -> None:
    async def body() -> None:
        text = render_overview(inspector(task, note="keys fetched <9 s ago are in use").inspect(), None)
        assert '<li class="good"><b>broker</b> ok: keys fetched &lt;9 s ago are in use</li>' in text

    task = Task()
    task.run(body)


def test_rates_are_means_since_the_previous_overview() -> None:
    task = Task()
    watch = inspector(task)
    before = watch.inspect()
    task.metrics.events_stored.inc(5)
    now = watch.inspect()
    rate = 5 / (now.at - before.at)
    assert f"<td>events stored</td><td>{rate:,.1f}</td><td>5</td>" in render_overview(now, before)
    assert "<td>events stored</td><td>–</td><td>5</td>" in render_overview(now, None)


def test_only_the_newest_warnings_are_kept() -> None:
    log = logging.getLogger("sse_service")
    with RecentWarnings() as warnings:
        for number in range(MAX_LINES + 5):
            log.warning("warning %d", number)
        log.info("not this")
        try:
            raise ValueError("a payload, perhaps")
        except ValueError:
            log.exception("failed")
    log.warning("afterwards")
    lines = warnings.newest_first()
    assert len(lines) == MAX_LINES
    assert lines[0].text == "failed (ValueError)"
    assert lines[1].text == f"warning {MAX_LINES + 4}"
    assert "None since the start." not in render_overview(inspector(Task(), warnings=warnings).inspect(), None)


def test_durations_have_a_suitable_unit() -> None:
    assert [duration(seconds) for seconds in (5, 120, 5400, 200_000)] == ["5 s", "2 min", "1.5 h", "2.3 d"]
