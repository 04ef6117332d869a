"""Samples are taken every few seconds and kept for 15 minutes."""

from __future__ import annotations

import asyncio

from sse_service.operator.samples import PERIOD_SECONDS, WINDOW_SECONDS
from tests.unit.operator.sampled_task import SampledTask


def test_a_sample_has_the_open_streams_and_the_activity_since_the_previous_one() -> None:
    task = SampledTask()
    task.sample(streams=7, events=50, delays=(*[0.02] * 98, 0.4, 0.4))
    task.sample(streams=3, events=5, delays=(2,))
    first, second = task.samples.window().samples
    assert (first.streams, first.events_per_second) == (7, 50 / PERIOD_SECONDS)
    assert (first.delay_median, first.delay_p99) == (0.025, 0.5)
    assert (second.streams, second.events_per_second) == (3, 5 / PERIOD_SECONDS)
    assert (second.delay_median, second.delay_p99) == (2.5, 2.5)


def test_without_events_there_is_no_delay() -> None:
    task = SampledTask()
    task.sample(delays=(0.1,))
    task.sample()
    assert [sample.delay_p99 for sample in task.samples.window().samples] == [0.1, None]


def test_samples_older_than_15_minutes_are_dropped() -> None:
    task = SampledTask()
    kept = WINDOW_SECONDS // PERIOD_SECONDS + 1
    for number in range(kept + 10):
        task.sample(streams=number)
    window = task.samples.window()
    assert [sample.streams for sample in window.samples] == [*range(10, kept + 10)]
    assert window.samples[0].at == window.now - WINDOW_SECONDS
    task.now += WINDOW_SECONDS + 1
    assert task.samples.window().samples == []


def test_times_without_samples_are_pauses() -> None:
    task = SampledTask()
    start = task.now
    assert task.samples.window().pauses() == [(start - WINDOW_SECONDS, start)]
    for _ in range(3):
        task.sample()
    # One late sample is not a pause.
    task.now += PERIOD_SECONDS
    task.sample()
    stopped = task.now
    task.now += 60
    task.sample()
    assert task.samples.window().pauses() == [
        (task.now - WINDOW_SECONDS, start + PERIOD_SECONDS),
        (stopped, task.now),
    ]


def test_samples_are_taken_until_cancelled() -> None:
    task = SampledTask()

    async def body() -> None:
        running = asyncio.create_task(task.samples.run())
        await asyncio.sleep(0)
        assert len(task.samples.window().samples) == 1
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
        assert running.cancelled()

    asyncio.run(body())
