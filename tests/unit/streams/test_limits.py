"""Limits of open streams in total, per user and per address, and of the rate of openings."""

from __future__ import annotations

import json
from contextlib import ExitStack, suppress

import pytest

from sse_service.model.errors import Overloaded
from sse_service.model.reasons import CloseReason
from sse_service.streams.limits import Limits, network
from tests.unit.sinks import MemorySink
from tests.unit.task import Task, wait_until


def close_events(sink: MemorySink) -> list[object]:
    return [json.loads(message.data) for message in sink.messages if message.type == "stream.close"]


def test_streams_beyond_the_limit_of_the_task_are_refused() -> None:
    task = Task(max_streams=1)

    async def body() -> None:
        with task.open(MemorySink()), pytest.raises(Overloaded, match="limit"):
            task.admit(user="2")
        task.admit(user="2")

    task.run(body)


def test_a_stream_beyond_the_limit_of_its_user_evicts_that_users_oldest_stream() -> None:
    task, sinks, other = Task(max_streams_per_user=2), [MemorySink() for _ in range(4)], MemorySink()

    async def body() -> None:
        with ExitStack() as opened:
            opened.enter_context(task.open(other, user="2"))
            for sink in sinks:
                task.admit()
                opened.enter_context(task.open(sink))
            assert [bool(close_events(sink)) for sink in sinks] == [True, True, False, False]

    task.run(body)
    assert close_events(sinks[0]) == [{"reason": "limit", "reconnect": True}]
    retry = int(sinks[0].written.partition(b"event: stream.close\nretry: ")[2].partition(b"\n")[0])
    assert 30_000 <= retry <= 60_000
    assert close_events(other) == []


def test_an_evicted_stream_whose_reader_takes_nothing_is_cut() -> None:
    task, stalled = Task(max_streams_per_user=1), MemorySink()

    async def body() -> None:
        with task.open(stalled) as first:
            stalled.room = 1
            await wait_until(lambda: first.paused)
            with task.open(MemorySink()):
                assert first.close_reason is CloseReason.LIMIT

    task.run(body)
    assert stalled.aborted


def test_a_resuming_stream_beyond_the_limit_is_refused_and_evicts_nobody() -> None:
    task, sink = Task(max_streams_per_user=1), MemorySink()

    async def body() -> None:
        with task.open(sink):
            with pytest.raises(Overloaded, match="user"):
                task.admit(resumes=True)
            task.admit(user="2", resumes=True)
            task.admit()
        task.admit(resumes=True)

    task.run(body)
    assert close_events(sink) == []


def test_an_evicted_stream_stops_counting_before_its_response_has_ended() -> None:
    task = Task(max_streams_per_user=1)

    async def body() -> None:
        with ExitStack() as opened:
            first = opened.enter_context(task.open(MemorySink()))
            with task.open(MemorySink()):
                assert first.closed
            task.admit(resumes=True)

    task.run(body)


def test_streams_beyond_the_limit_of_an_address_are_refused() -> None:
    task = Task(max_streams_per_address=1)

    async def body() -> None:
        with task.open(MemorySink(), address="2001:db8::1"):
            with pytest.raises(Overloaded, match="address"):
                task.admit(user="2", address="2001:db8::2")
            task.admit(user="2", address="2001:db8:0:1::1")
        task.admit(user="2", address="2001:db8::2")

    task.run(body)


@pytest.mark.parametrize(
    ("address", "counted"),
    [
        ("192.0.2.7", "192.0.2.7"),
        ("::ffff:192.0.2.7", "192.0.2.7"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::"),
        ("a proxy's own word", "a proxy's own word"),
        (None, ""),
    ],
)
def test_addresses_are_counted_by_ipv4_address_or_ipv6_network(address: str | None, counted: str) -> None:
    assert network(address) == counted


def test_one_user_cannot_use_up_the_rate_of_openings() -> None:
    now = 0.0
    limits = Limits(streams=10_000, per_user=20, per_address=None, opens_per_second=100, clock=lambda: now)
    for second in range(10):
        now = float(second)
        for number in range(400):
            with suppress(Overloaded):
                limits.check(user="greedy", address=None, resumes=False)
            if number % 10 == 0:
                limits.check(user=f"other {number}", address=None, resumes=False)


def test_openings_are_limited_to_the_rate_with_bursts_of_twice_that() -> None:
    now = 0.0
    limits = Limits(streams=10_000, per_user=10, per_address=None, opens_per_second=10, clock=lambda: now)

    def opened(asked: int) -> int:
        count = 0
        for number in range(asked):
            with suppress(Overloaded):
                limits.check(user=str(number), address=None, resumes=False)
                count += 1
        return count

    assert opened(100) == 20
    with pytest.raises(Overloaded, match="rate"):
        limits.check(user="1", address=None, resumes=False)
    now += 0.5
    assert opened(100) == 5
    now += 3600
    assert opened(100) == 20
