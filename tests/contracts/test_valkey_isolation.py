"""A channel delivers only what was published to it, with any user id and with other writers on the Valkey server."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import redis

from sse_service.brokers.valkey.entries import encode
from sse_service.model.events import BROADCAST, group_channel, user_channel
from tests.contracts.harness import BrokerHarness, ids, route

pytestmark = pytest.mark.parametrize("factory", ["valkey"], indirect=True)

MakeHarness = Callable[..., BrokerHarness]


USERS = ("a:b", "*", "{x}", "{sse}:book", "a b", "é", "\u2028", "book", "1\n2", "@user:1", "channels", "")


@pytest.mark.parametrize("user", USERS)
def test_an_unusual_user_id_has_its_own_key_and_channel(
    make_harness: MakeHarness, client: redis.Redis, user: str
) -> None:
    harness = make_harness()
    before = harness.position()
    harness.run(harness.broker.subscribe([user_channel(user)]))
    harness.publish(route("mine", user_channel(user)), route("other's", "user:1"))
    assert ids(harness.live) == ["mine", "other's"]
    assert ids(harness.replay(before, user_channel(user)).entries) == ["mine"]
    assert client.exists("{sse}:history:user:" + user)


def test_users_whose_ids_look_like_keys_get_only_their_own_events(make_harness: MakeHarness) -> None:
    harness = make_harness()
    before = harness.position()
    channels = [user_channel(user) for user in USERS] + [group_channel(user) for user in USERS] + [BROADCAST]
    harness.run(harness.broker.subscribe(channels))
    harness.publish(*(route("the same id", channel, data=channel) for channel in channels))
    assert [(entry.event.data, entry.channels) for entry in harness.live] == [(name, (name,)) for name in channels]
    for channel in channels:
        assert [entry.event.data for entry in harness.replay(before, channel).entries] == [channel]


def test_an_entry_in_the_wrong_history_is_dropped(make_harness: MakeHarness, client: redis.Redis) -> None:
    harness = make_harness()
    harness.publish(route("mine"), route("other's", "user:2"))
    ((place, fields),) = client.xrange("{sse}:history:user:2")
    client.xdel("{sse}:history:user:1", f"{harness.live[0].cursor.offset}-0")
    client.xadd("{sse}:history:user:1", fields, id=place)
    page = harness.replay(None)
    assert ids(page.entries) == []
    assert 'sse_events_dropped_total{reason="misdirected"} 1.0' in harness.metrics.render().decode()


def test_reading_continues_after_a_dropped_entry(make_harness: MakeHarness, client: redis.Redis) -> None:
    harness = make_harness()
    harness.publish(route("a"), route("b"), route("c"), route("other's", "user:2"))
    ((_, fields),) = client.xrange("{sse}:history:user:2")
    kept = client.xrange("{sse}:history:user:1")
    client.delete("{sse}:history:user:1")
    for (place, own), put in zip(kept, (False, True, False), strict=True):
        client.xadd("{sse}:history:user:1", fields if put else own, id=place)
    pages = [harness.replay(None, limit=1)]
    while pages[-1].more:
        pages.append(harness.replay(pages[-1].upto, limit=1))
    assert [ids(page.entries) for page in pages] == [["a"], [], ["c"]]
    assert [page.gap for page in pages[1:]] == [None, None]
    assert 'sse_events_dropped_total{reason="misdirected"} 1.0' in harness.metrics.render().decode()


def test_a_message_on_the_wrong_channel_is_dropped_and_the_next_one_arrives(
    make_harness: MakeHarness, client: redis.Redis
) -> None:
    harness = make_harness()
    here = harness.position()
    theirs = encode(route("other's", "user:2"))
    client.publish("{sse}:0:live:user:1", f"{here.epoch} {here.offset} 0\n".encode() + theirs)
    harness.publish(route("mine"))
    assert ids(harness.live) == ["mine"]
    assert 'sse_events_dropped_total{reason="misdirected"} 1.0' in harness.metrics.render().decode()


MALFORMED = ("", "junk", "5", "null", "[1,2,3,4,5,6]", '["a",null,null,null,"x",null]')


@pytest.mark.parametrize("malformed", MALFORMED)
def test_a_malformed_message_is_dropped(make_harness: MakeHarness, client: redis.Redis, malformed: str) -> None:
    harness = make_harness()
    here = harness.position()
    client.publish("{sse}:0:live:user:1", f"{here.epoch} {here.offset} 0\n{malformed}")
    harness.publish(route("mine"))
    assert ids(harness.live) == ["mine"]
    assert 'sse_events_dropped_total{reason="misdirected"} 1.0' in harness.metrics.render().decode()


@pytest.mark.parametrize("malformed", MALFORMED)
def test_a_malformed_entry_is_dropped(make_harness: MakeHarness, client: redis.Redis, malformed: str) -> None:
    harness = make_harness()
    harness.publish(route("a"))
    ((place, _),) = client.xrange("{sse}:history:user:1")
    client.delete("{sse}:history:user:1")
    client.xadd("{sse}:history:user:1", {"e": malformed}, id=place)
    assert ids(harness.replay(None).entries) == []
    assert 'sse_events_dropped_total{reason="misdirected"} 1.0' in harness.metrics.render().decode()
