"""The revocations in Valkey: none is lost with a part of them, their number is bounded, and an exchange is cheap."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import pytest
import redis

from sse_service.brokers.valkey import revocations as exchange
from sse_service.brokers.valkey import scripts
from sse_service.brokers.valkey.requirements import NO_PERMISSION
from sse_service.brokers.valkey.scripts import REVOCATION_KEYS
from sse_service.model.errors import Unavailable
from sse_service.model.revocations import Revocation
from tests.contracts.brokers import BrokerFactory
from tests.contracts.harness import BrokerHarness, ids, route
from tests.contracts.test_revocations import NOW, user, wait_for
from tests.integration.until import until

pytestmark = pytest.mark.parametrize("factory", ["valkey"], indirect=True)

MakeHarness = Callable[..., BrokerHarness]

HASH, ORDER = "{sse}:revoked", "{sse}:revoked:order"


def wait_until_stored(harness: BrokerHarness, factory: BrokerFactory, *revocations: Revocation) -> None:
    harness.run(until(lambda: factory.stored_revocations() == {each.key for each in revocations}))


@pytest.mark.parametrize("lost", [(HASH,), (ORDER,), (HASH, ORDER)])
def test_a_lost_key_is_put_back_by_the_tasks(
    make_harness: MakeHarness, client: redis.Redis, factory: BrokerFactory, lost: tuple[str, ...]
) -> None:
    one = make_harness()
    one.revoke(user("1"), user("2"))
    client.delete(*lost)
    one.revoke(user("3"))
    wait_until_stored(one, factory, user("1"), user("2"), user("3"))
    assert client.zcard(ORDER) == 3
    assert one.other_task().has(user("1"), user("2"), user("3"))


@pytest.mark.parametrize("field", ["life", "run", "last", "user:1"])
def test_a_lost_field_is_put_back_by_the_tasks(
    make_harness: MakeHarness, client: redis.Redis, factory: BrokerFactory, field: str
) -> None:
    one = make_harness()
    one.revoke(user("1"), user("2"))
    client.hdel(HASH, field)
    wait_until_stored(one, factory, user("1"), user("2"))
    one.revoke(user("3"))
    assert one.other_task().has(user("1"), user("2"), user("3"))


def test_without_any_task_the_order_is_made_again_from_the_revocations(
    make_harness: MakeHarness, client: redis.Redis
) -> None:
    one = make_harness()
    one.revoke(user("1"), user("2"))
    one.cut_off()
    client.delete(ORDER)
    assert one.other_task().has(user("1"), user("2"))


def test_another_run_of_the_server_is_given_what_it_may_have_lost(
    make_harness: MakeHarness, client: redis.Redis, factory: BrokerFactory
) -> None:
    one = make_harness()
    one.revoke(user("1"), user("2"))
    # A replica that was promoted before it had the second.
    pipeline = client.pipeline()
    pipeline.hdel(HASH, "user:2")
    pipeline.zrem(ORDER, "user:2")
    pipeline.hset(HASH, "run", "another")
    pipeline.execute()
    wait_until_stored(one, factory, user("1"), user("2"))


def test_an_exchange_without_news_writes_nothing(make_harness: MakeHarness, client: redis.Redis) -> None:
    one = make_harness()
    one.revoke(user("1"))
    life, last = client.hmget(HASH, "life", "last")
    run_id = client.info("server")["run_id"]
    # The broker sends nothing while its loop does not run.
    changes = client.info("persistence")["rdb_changes_since_last_save"]
    words = (len(REVOCATION_KEYS), *REVOCATION_KEYS, run_id, "0" * 8, 10, 10, str(life), str(last))
    for more in ((0,), (1, *dataclasses.astuple(user("1")))):
        answer = client.eval(scripts.source("revocations"), *words, *more)
        assert answer == [life, last, 0]
    assert client.info("persistence")["rdb_changes_since_last_save"] == changes


def test_the_store_holds_a_limited_number_and_the_oldest_go(
    make_harness: MakeHarness, client: redis.Redis, factory: BrokerFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(exchange, "MAX_STORED", 3)
    one = make_harness()
    for number in range(5):
        one.revoke(user(str(number)))
    assert factory.stored_revocations() == {"user:2", "user:3", "user:4"}
    assert client.zcard(ORDER) == 3
    # A task keeps what it knows.
    assert len(one.table) == 5


def test_a_task_whose_clock_is_ahead_removes_nothing_from_the_store(
    make_harness: MakeHarness, client: redis.Redis, factory: BrokerFactory
) -> None:
    one = make_harness()
    one.revoke(user("1", seconds=1_000))
    one.table._clock = lambda: NOW + 900  # within the life
    one.revoke(user("2", seconds=2_000))
    one.table._clock = lambda: NOW + 1_500
    one.revoke(user("3", seconds=2_000))
    assert factory.stored_revocations() == {"user:1", "user:2", "user:3"}
    assert {each.key for each in one.table.entries()} == {"user:2", "user:3"}


def test_revoking_works_when_memory_is_full(make_harness: MakeHarness, client: redis.Redis) -> None:
    one = make_harness()
    one.publish(*(route(str(number), data="x" * 100_000) for number in range(20)))
    client.config_set("maxmemory", int(client.info("memory")["used_memory"]) - 500_000)
    try:
        with pytest.raises(Unavailable, match="out of memory"):
            one.publish(route("more"))
        one.revoke(user("1"))
        assert one.other_task().has(user("1"))
    finally:
        client.config_set("maxmemory", 0)


def test_if_the_store_refuses_revocations_events_go_on_and_the_trouble_says_so(
    make_harness: MakeHarness, client: redis.Redis, caplog: pytest.LogCaptureFixture
) -> None:
    one = make_harness()
    client.set(HASH, "of another type")
    one.run(until(lambda: one.broker.trouble))
    assert "WRONGTYPE" in str(one.broker.trouble)
    with pytest.raises(Unavailable):
        one.revoke(user("1"))
    one.publish(route("a"))
    assert ids(one.live) == ["a"]
    client.delete(HASH)
    one.run(until(lambda: one.broker.trouble is None))
    assert one.other_task().has(user("1"))
    texts = [record.getMessage() for record in caplog.records]
    assert len([text for text in texts if text.startswith("Valkey could not exchange revocations: WRONGTYPE")]) == 1
    assert NO_PERMISSION not in caplog.text


def test_what_something_else_has_written_disturbs_nothing(make_harness: MakeHarness, client: redis.Redis) -> None:
    one = make_harness()
    for number, (key, text) in enumerate({"junk:": "1 2", "user:9": "junk", b"\xff:\xff": "1 9999999999"}.items()):
        client.hset(HASH, key, text)
        client.zadd(ORDER, {key: 1_000 + number})
    client.hset(HASH, "last", 2_000)
    one.revoke(user("1"), user("9"))
    other = one.other_task()
    assert {user("1"), user("9")} <= set(other.table.entries())
    assert other.broker.trouble is None


def test_names_of_any_form_pass_through(make_harness: MakeHarness) -> None:
    one = make_harness()
    names = ("", "a:b", "life", "run", "last", "é", "\u2028", "a\nb\0c", "1 2", "{sse}:revoked", "x" * 5_000)
    revoked = [user(name) for name in names]
    one.revoke(*revoked)
    other = one.other_task()
    wait_for(other, *revoked)
