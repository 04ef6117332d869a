"""No channel of Valkey gives what was not published to it, whatever users are called and whoever else writes."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import redis

from sse_service.brokers.valkey.entries import encode
from sse_service.model.events import BROADCAST, group_channel, user_channel
from tests.contracts.setup import Setup, ids, route

pytestmark = pytest.mark.parametrize("make", ["valkey"], indirect=True)

SetupOf = Callable[..., Setup]


USERS = ("a:b", "*", "{x}", "{sse}:book", "a b", "é", "\u2028", "book", "1\n2", "@user:1", "channels", "")


@pytest.mark.parametrize("user", USERS)
def test_no_user_id_reaches_another_key(setup_of: SetupOf, client: redis.Redis, user: str) -> None:
    setup = setup_of()
    before = setup.position()
    setup.run(setup.broker.subscribe([user_channel(user)]))
    setup.publish(route("mine", user_channel(user)), route("other's", "user:1"))
    assert ids(setup.live) == ["mine", "other's"]
    assert ids(setup.replay(before, user_channel(user)).entries) == ["mine"]
    assert client.exists("{sse}:history:user:" + user)


def test_users_whose_ids_look_like_keys_share_nothing(setup_of: SetupOf) -> None:
    setup = setup_of()
    before = setup.position()
    channels = [user_channel(user) for user in USERS] + [group_channel(user) for user in USERS] + [BROADCAST]
    setup.run(setup.broker.subscribe(channels))
    setup.publish(*(route("the same id", channel, data=channel) for channel in channels))
    assert [(entry.event.data, entry.channels) for entry in setup.live] == [(name, (name,)) for name in channels]
    for channel in channels:
        assert [entry.event.data for entry in setup.replay(before, channel).entries] == [channel]


def test_an_entry_of_another_channel_is_dropped(setup_of: SetupOf, client: redis.Redis) -> None:
    setup = setup_of()
    setup.publish(route("mine"), route("other's", "user:2"))
    ((place, fields),) = client.xrange("{sse}:history:user:2")
    client.xdel("{sse}:history:user:1", f"{setup.live[0].cursor.offset}-0")
    client.xadd("{sse}:history:user:1", fields, id=place)
    page = setup.replay(None)
    assert ids(page.entries) == []
    assert 'sse_events_dropped_total{reason="misdirected"} 1.0' in setup.metrics.render().decode()


def test_a_dropped_entry_neither_ends_a_page_nor_is_read_twice(setup_of: SetupOf, client: redis.Redis) -> None:
    setup = setup_of()
    setup.publish(route("a"), route("b"), route("c"), route("other's", "user:2"))
    ((_, fields),) = client.xrange("{sse}:history:user:2")
    kept = client.xrange("{sse}:history:user:1")
    client.delete("{sse}:history:user:1")
    for (place, own), put in zip(kept, (False, True, False), strict=True):
        client.xadd("{sse}:history:user:1", fields if put else own, id=place)
    pages = [setup.replay(None, limit=1)]
    while pages[-1].more:
        pages.append(setup.replay(pages[-1].upto, limit=1))
    assert [ids(page.entries) for page in pages] == [["a"], [], ["c"]]
    assert [page.gap for page in pages[1:]] == [None, None]
    assert 'sse_events_dropped_total{reason="misdirected"} 1.0' in setup.metrics.render().decode()


def test_a_message_of_another_channel_is_dropped_and_the_next_one_comes(setup_of: SetupOf, client: redis.Redis) -> None:
    setup = setup_of()
    here = setup.position()
    theirs = encode(route("other's", "user:2"))
    client.publish("{sse}:0:live:user:1", f"{here.epoch} {here.offset} 0\n".encode() + theirs)
    setup.publish(route("mine"))
    assert ids(setup.live) == ["mine"]
    assert 'sse_events_dropped_total{reason="misdirected"} 1.0' in setup.metrics.render().decode()


RUBBISH = ("", "junk", "5", "null", "[1,2,3,4,5,6]", '["a",null,null,null,"x",null]')


@pytest.mark.parametrize("rubbish", RUBBISH)
def test_a_message_of_another_form_is_dropped(setup_of: SetupOf, client: redis.Redis, rubbish: str) -> None:
    setup = setup_of()
    here = setup.position()
    client.publish("{sse}:0:live:user:1", f"{here.epoch} {here.offset} 0\n{rubbish}")
    setup.publish(route("mine"))
    assert ids(setup.live) == ["mine"]
    assert 'sse_events_dropped_total{reason="misdirected"} 1.0' in setup.metrics.render().decode()


@pytest.mark.parametrize("rubbish", RUBBISH)
def test_an_entry_of_another_form_is_dropped(setup_of: SetupOf, client: redis.Redis, rubbish: str) -> None:
    setup = setup_of()
    setup.publish(route("a"))
    ((place, _),) = client.xrange("{sse}:history:user:1")
    client.delete("{sse}:history:user:1")
    client.xadd("{sse}:history:user:1", {"e": rubbish}, id=place)
    assert ids(setup.replay(None).entries) == []
    assert 'sse_events_dropped_total{reason="misdirected"} 1.0' in setup.metrics.render().decode()
