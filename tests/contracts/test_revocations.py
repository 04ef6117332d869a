"""Every task learns of every revocation, whatever was away at the time."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from sse_service.model.errors import Unavailable
from sse_service.model.revocations import Revocation
from tests.contracts.brokers import BrokerFactory, with_features
from tests.contracts.clock import Clock
from tests.contracts.harness import BrokerHarness
from tests.integration.until import until

MakeHarness = Callable[..., BrokerHarness]

NOW = int(Clock().now)


def user(name: str, *, at: int = NOW, seconds: int = 60) -> Revocation:
    return Revocation.of_user(name, at=at, until=NOW + seconds)


def wait_for(harness: BrokerHarness, *revocations: Revocation) -> None:
    harness.run(until(lambda: harness.has(*revocations)))


def test_a_revocation_holds_here_at_once_and_is_reported_once(make_harness: MakeHarness) -> None:
    harness = make_harness()
    harness.revoke()
    harness.revoke(user("1"), user("2"))
    harness.revoke(user("2"), user("1"))
    assert harness.has(user("1"), user("2"))
    assert harness.revoked == [user("1"), user("2")]


def test_the_latest_time_and_the_longest_life_count_in_any_order(make_harness: MakeHarness) -> None:
    harness = make_harness()
    harness.revoke(user("1", at=NOW + 5, seconds=60))
    harness.revoke(user("1", at=NOW + 1, seconds=90))
    assert harness.table.entries() == [user("1", at=NOW + 5, seconds=90)]


@with_features(shared=True)
def test_another_task_learns_of_it(make_harness: MakeHarness) -> None:
    one = make_harness()
    other = one.other_task()
    one.revoke(user("1"))
    other.revoke(user("2"))
    for task in (one, other):
        wait_for(task, user("1"), user("2"))


@with_features(shared=True)
def test_a_change_reaches_tasks_that_know_the_revocation(make_harness: MakeHarness) -> None:
    one = make_harness()
    other = one.other_task()
    one.revoke(user("1", at=NOW - 5, seconds=90))
    wait_for(other, user("1", at=NOW - 5, seconds=90))
    other.revoke(user("1", at=NOW, seconds=60))
    for task in (one, other):
        wait_for(task, user("1", at=NOW, seconds=90))


@with_features(shared=True)
def test_a_task_whose_clock_is_ahead_locks_nobody_out_on_the_others(make_harness: MakeHarness) -> None:
    one = make_harness()
    other = one.other_task()
    one.table._clock = lambda: NOW + 1_800
    one.revoke(user("1", at=NOW + 1_800, seconds=3_600))
    wait_for(other, user("1", at=NOW + 60, seconds=3_600))
    # The store has the time of the task that is ahead, and it changes nothing here.
    one.revoke(user("2", seconds=3_600))
    wait_for(other, user("1", at=NOW + 60, seconds=3_600), user("2", seconds=3_600))


@with_features(shared=True)
def test_a_task_that_starts_later_knows_all_before_it_is_ready(make_harness: MakeHarness) -> None:
    one = make_harness()
    revoked = [user(str(number)) for number in range(2_500)]
    one.revoke(*revoked)
    assert one.other_task().has(*revoked)


@with_features(shared=True)
def test_a_task_that_was_away_learns_of_it_when_it_is_back(make_harness: MakeHarness) -> None:
    one = make_harness()
    other = one.other_task()
    other.cut_off()
    one.revoke(user("1"))
    assert other.has()
    other.come_back()
    wait_for(other, user("1"))


@with_features(shared=True)
def test_a_revocation_without_the_store_holds_here_and_is_passed_on_later(make_harness: MakeHarness) -> None:
    one = make_harness()
    other = one.other_task()
    one.cut_off()
    with pytest.raises(Unavailable):
        one.revoke(user("1"))
    with pytest.raises(Unavailable):
        one.revoke(user("1", at=NOW + 1), user("2"))
    assert one.has(user("1", at=NOW + 1), user("2"))
    assert other.has()
    one.come_back()
    wait_for(other, user("1", at=NOW + 1), user("2"))


@with_features(shared=True)
def test_the_tasks_put_back_what_the_store_has_lost(make_harness: MakeHarness, factory: BrokerFactory) -> None:
    one = make_harness()
    other = one.other_task()
    revoked = [user(str(number)) for number in range(2_500)]
    one.revoke(*revoked)
    wait_for(other, *revoked)
    one.cut_off()
    factory.lose_revocations()
    other.run(until(lambda: factory.stored_revocations() == {each.key for each in revoked}))
    assert other.other_task().has(*revoked)


@with_features(shared=True)
def test_what_has_expired_is_removed_from_the_store(make_harness: MakeHarness, factory: BrokerFactory) -> None:
    one = make_harness()
    one.revoke(user("1", seconds=60), user("2", seconds=1_000))
    one.clock.now += 500
    # Any later exchange removes it.
    one.revoke(user("3", seconds=1_000))
    one.run(until(lambda: factory.stored_revocations() == {"user:2", "user:3"}))
    assert {each.key for each in one.table.entries()} == {"user:2", "user:3"}


@with_features(shared=True)
def test_what_expired_while_no_task_ran_is_removed_from_the_store(
    make_harness: MakeHarness, factory: BrokerFactory
) -> None:
    one = make_harness()
    one.revoke(user("1", seconds=60), user("2", seconds=1_000))
    one.cut_off()
    one.clock.now += 500
    later = one.other_task()
    later.revoke(user("3", seconds=1_000))
    later.run(until(lambda: factory.stored_revocations() == {"user:2", "user:3"}))
