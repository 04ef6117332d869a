"""The bookkeeping in Valkey: it cannot be lost by half, its sums are right, and it does not grow without end."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import pairwise

import pytest
import redis
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sse_service.brokers.valkey import broker, scripts
from sse_service.brokers.valkey.entries import encode
from sse_service.brokers.valkey.scripts import KEYS
from sse_service.model.errors import Unavailable
from sse_service.model.events import BROADCAST, group_channel, user_channel
from sse_service.model.reasons import GapReason
from tests.contracts.setup import Setup, route
from tests.contracts.test_broker import ids
from tests.integration.until import until
from tests.integration.valkey import Valkey

pytestmark = pytest.mark.parametrize("make", ["valkey"], indirect=True)

SetupOf = Callable[..., Setup]


@pytest.fixture
def client(server: Valkey) -> Iterator[redis.Redis]:
    with server.client() as connected:
        yield connected


@pytest.mark.parametrize("key", ["{sse}:book", "{sse}:channels", "{sse}:seen", "{sse}:seen:old"])
def test_a_part_of_the_bookkeeping_that_is_lost_begins_a_new_epoch(
    setup_of: SetupOf, client: redis.Redis, key: str
) -> None:
    setup = setup_of(dedupe_seconds=10)
    setup.publish(route("a"))
    setup.clock.now += 11
    setup.publish(route("b"))
    before = setup.position()
    setup.publish(route("c"))
    setup.clock.now -= 60
    assert client.exists(key)
    client.delete(key)
    page = setup.replay(before)
    assert page.gap is GapReason.EPOCH
    assert page.upto.epoch != before.epoch
    assert page.upto.offset > setup.live[-1].cursor.offset
    assert not client.exists("{sse}:history:user:1")


def test_each_field_of_the_book_belongs_to_it(setup_of: SetupOf, client: redis.Redis) -> None:
    setup = setup_of()
    for field in ("epoch", "run", "last", "floor", "bytes", "seen", "old", "rotated", "scan", "@user:1"):
        setup.publish(route(field))
        before = setup.position()
        client.hdel("{sse}:book", field)
        assert setup.replay(before).gap is GapReason.EPOCH, field


def test_history_whose_whole_bookkeeping_is_lost_is_not_taken_for_the_next_lifes(
    setup_of: SetupOf, client: redis.Redis
) -> None:
    setup = setup_of()
    setup.publish(route("a"), route("b", "user:2"))
    client.delete("{sse}:book", "{sse}:channels", "{sse}:seen")
    before = setup.position()
    setup.publish(route("c"))
    for channel, held in (("user:1", ["c"]), ("user:2", [])):
        page = setup.replay(before, channel)
        assert page.gap is None
        assert ids(page.entries) == ids(setup.replay(None, channel).entries) == held


def test_history_that_vanished_is_a_gap(setup_of: SetupOf, client: redis.Redis) -> None:
    setup = setup_of()
    before = setup.position()
    setup.publish(route("a"), route("b", "user:2"))
    client.delete("{sse}:history:user:1")
    assert setup.replay(before).gap is GapReason.TRIMMED
    setup.publish(route("c"))
    assert setup.replay(before).gap is GapReason.TRIMMED
    assert setup.replay(before, "user:2").gap is None


@pytest.mark.parametrize("which", [0, 1, 2])
def test_a_single_entry_that_vanished_is_a_gap(setup_of: SetupOf, client: redis.Redis, which: int) -> None:
    setup = setup_of()
    before = setup.position()
    setup.publish(route("a"), route("b"), route("c"))
    client.xdel("{sse}:history:user:1", f"{setup.live[which].cursor.offset}-0")
    assert setup.replay(before).gap is GapReason.TRIMMED


def test_an_entry_that_took_anothers_place_is_a_gap(setup_of: SetupOf, client: redis.Redis) -> None:
    setup = setup_of()
    before = setup.position()
    setup.publish(route("a"), route("b"))
    (_, fields), _ = client.xrange("{sse}:history:user:1")
    client.delete("{sse}:history:user:1")
    for place in ("2-0", "3-0"):
        client.xadd("{sse}:history:user:1", fields, id=place)
    assert setup.replay(before).gap is GapReason.TRIMMED


CHANNELS = ("user:1", "user:2", "user:3", "broadcast")
STEP = st.one_of(
    st.tuples(st.lists(st.sampled_from(CHANNELS), min_size=1, max_size=3, unique=True), st.integers(0, 3000)),
    st.integers(0, 30),
    st.sampled_from(CHANNELS),
)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(steps=st.lists(STEP, max_size=25))
def test_the_sums_are_those_of_what_is_held(
    setup_of: SetupOf, client: redis.Redis, steps: list[tuple[list[str], int] | int | str]
) -> None:
    """After events of random channels and sizes, seconds between them, and histories that vanish."""
    setup = setup_of(history_events=4, history_seconds=60, history_bytes=20_000)
    for number, step in enumerate(steps):
        if isinstance(step, int):
            setup.clock.now += step
        elif isinstance(step, str):
            client.delete(f"{{sse}}:history:{step}")
            setup.replay(None, step)
        else:
            setup.publish(route(str(number), *step[0], data="x" * step[1]))
        book = client.hgetall("{sse}:book")
        assert isinstance(book, dict)
        records = {name[1:]: [int(n) for n in text.split()] for name, text in book.items() if name[0] == "@"}
        assert int(book["bytes"]) == sum(record[2] for record in records.values()) <= 20_000
        assert client.zrange("{sse}:channels", 0, -1, withscores=True) == sorted(
            ((name, float(record[0])) for name, record in records.items()), key=lambda pair: (pair[1], pair[0])
        )
        for name, (last, floor, size, count, _first) in records.items():
            held = client.xrange(f"{{sse}}:history:{name}")
            assert len(held) == count <= 4
            assert size == 4800 + sum(len(fields["e"].encode()) + 110 for _, fields in held)
            assert not held or floor < int(held[0][0].partition("-")[0]) <= int(held[-1][0].partition("-")[0]) == last


def test_channels_that_are_too_old_leave_no_trace_but_the_floor(setup_of: SetupOf, client: redis.Redis) -> None:
    setup = setup_of(history_seconds=60)
    before = setup.position()
    setup.publish(*(route(str(number), f"user:{number}") for number in range(50)))
    setup.clock.now += 61
    setup.publish(route("young"))
    # Twenty a call: the probes go on with it.
    setup.run(until(lambda: client.zcard("{sse}:channels") == 1))
    assert client.hlen("{sse}:book") == 9 + 1
    assert len(list(client.scan_iter("{sse}:history:*"))) == 1
    assert int(str(client.hget("{sse}:book", "floor"))) > before.offset
    assert setup.replay(before, "user:7").gap is GapReason.EXPIRED


def test_another_run_of_the_server_is_a_gap_then_what_is_held(setup_of: SetupOf, client: redis.Redis) -> None:
    setup = setup_of()
    before = setup.position()
    setup.publish(route("a"))
    client.hset("{sse}:book", "run", "another")
    page = setup.replay(before)
    assert page.gap is GapReason.EPOCH
    assert ids(page.entries) == ["a"]
    # Whoever is cut off after this gap goes on without another, also from what is older than the new epoch.
    assert setup.replay(page.entries[0].cursor).gap is None
    assert setup.replay(page.upto).gap is None


def test_offsets_are_never_used_again(setup_of: SetupOf, client: redis.Redis) -> None:
    setup = setup_of()
    for key in ("run", "epoch"):
        setup.publish(route(key))
        setup.clock.now -= 60
        client.hset("{sse}:book", "run", "another") if key == "run" else client.delete("{sse}:channels")
        setup.publish(route(f"after {key}"))
    offsets = [entry.cursor.offset for entry in setup.live]
    assert all(one < other for one, other in pairwise(offsets))


def test_without_memory_publishing_waits_and_resume_goes_on(
    setup_of: SetupOf, client: redis.Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    setup = setup_of(history_seconds=60)
    before = setup.position()
    setup.publish(*(route(str(number), data="x" * 100_000) for number in range(20)))
    used = int(client.info("memory")["used_memory"])
    client.config_set("maxmemory", used - 500_000)
    try:
        with pytest.raises(Unavailable, match="out of memory"):
            setup.publish(route("more"))
        assert setup.broker.trouble == "the server is out of memory"
        # Another task may have stored it meanwhile, and this one has nothing to publish.
        with monkeypatch.context() as later:
            later.setattr(broker, "REFUSED_SECONDS", 0)
            assert setup.broker.trouble is None
        assert len(setup.replay(before).entries) > 0
        # What is too old is cleared by the probes, and that makes room.
        setup.clock.now += 61
        setup.run(until(lambda: not client.exists("{sse}:history:user:1")))
        setup.publish(route("again"))
        assert setup.broker.trouble is None
    finally:
        client.config_set("maxmemory", 0)


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


def test_users_whose_ids_look_like_each_others_keys_share_nothing(setup_of: SetupOf) -> None:
    setup = setup_of()
    before = setup.position()
    channels = [user_channel(user) for user in USERS] + [group_channel(user) for user in USERS] + [BROADCAST]
    setup.run(setup.broker.subscribe(channels))
    setup.publish(*(route("the same id", channel, data=channel) for channel in channels))
    assert [(entry.event.data, entry.channels) for entry in setup.live] == [(name, (name,)) for name in channels]
    for channel in channels:
        assert [entry.event.data for entry in setup.replay(before, channel).entries] == [channel]


def test_scripts_that_the_server_forgot_are_told_again(setup_of: SetupOf, client: redis.Redis) -> None:
    setup = setup_of()
    setup.publish(route("a"))
    client.script_flush()
    setup.publish(route("b"))
    client.script_flush()
    assert ids(setup.replay(None).entries) == ["a", "b"]


def test_an_entry_of_another_channel_is_held_back(setup_of: SetupOf, client: redis.Redis) -> None:
    setup = setup_of()
    setup.publish(route("mine"), route("other's", "user:2"))
    ((place, fields),) = client.xrange("{sse}:history:user:2")
    client.xdel("{sse}:history:user:1", f"{setup.live[0].cursor.offset}-0")
    client.xadd("{sse}:history:user:1", fields, id=place)
    page = setup.replay(None)
    assert ids(page.entries) == []
    assert 'sse_events_dropped_total{reason="foreign"} 1.0' in setup.metrics.render().decode()


def test_an_entry_that_is_held_back_neither_ends_a_page_nor_is_read_twice(
    setup_of: SetupOf, client: redis.Redis
) -> None:
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
    assert 'sse_events_dropped_total{reason="foreign"} 1.0' in setup.metrics.render().decode()


def test_a_message_of_another_channel_is_held_back_and_what_follows_comes(
    setup_of: SetupOf, client: redis.Redis
) -> None:
    setup = setup_of()
    here = setup.position()
    theirs = encode(route("other's", "user:2"))
    client.publish("{sse}:0:live:user:1", f"{here.epoch} {here.offset} 0\n".encode() + theirs)
    setup.publish(route("mine"))
    assert ids(setup.live) == ["mine"]
    assert 'sse_events_dropped_total{reason="foreign"} 1.0' in setup.metrics.render().decode()


RUBBISH = ("", "junk", "5", "null", "[1,2,3,4,5,6]", '["a",null,null,null,"x",null]')


@pytest.mark.parametrize("rubbish", RUBBISH)
def test_a_message_of_another_form_is_held_back(setup_of: SetupOf, client: redis.Redis, rubbish: str) -> None:
    setup = setup_of()
    here = setup.position()
    client.publish("{sse}:0:live:user:1", f"{here.epoch} {here.offset} 0\n{rubbish}")
    setup.publish(route("mine"))
    assert ids(setup.live) == ["mine"]
    assert 'sse_events_dropped_total{reason="foreign"} 1.0' in setup.metrics.render().decode()


@pytest.mark.parametrize("rubbish", RUBBISH)
def test_an_entry_of_another_form_is_held_back(setup_of: SetupOf, client: redis.Redis, rubbish: str) -> None:
    setup = setup_of()
    setup.publish(route("a"))
    ((place, _),) = client.xrange("{sse}:history:user:1")
    client.delete("{sse}:history:user:1")
    client.xadd("{sse}:history:user:1", {"e": rubbish}, id=place)
    assert ids(setup.replay(None).entries) == []
    assert 'sse_events_dropped_total{reason="foreign"} 1.0' in setup.metrics.render().decode()


def test_what_a_life_left_behind_is_cleared_also_where_nobody_knows_of_it(
    setup_of: SetupOf, client: redis.Redis
) -> None:
    setup = setup_of()
    setup.publish(*(route(str(number), f"user:{number}") for number in range(500)))
    client.delete("{sse}:book", "{sse}:channels")
    setup.publish(route("new", "user:1"))
    setup.run(until(lambda: client.hget("{sse}:book", "scan") == "done"))
    assert list(client.scan_iter("{sse}:history:*")) == ["{sse}:history:user:1"]


def test_at_most_twenty_channels_are_cleared_at_once(setup_of: SetupOf, client: redis.Redis) -> None:
    setup = setup_of(history_seconds=60)
    setup.publish(*(route(str(number), f"user:{number}") for number in range(50)))
    setup.clock.now += 61
    setup._make.tell(setup.clock)
    # The broker's own probes rest as long as its loop does.
    words = (len(KEYS), *KEYS, client.info("server")["run_id"], "0" * 8, 60_000_000, "nobody")
    left = [client.zcard("{sse}:channels")]
    while left[-1]:
        client.eval(scripts.source("probe"), *words)
        left.append(client.zcard("{sse}:channels"))
    assert left == [50, 30, 10, 0]
