"""The metadata in Valkey: losses are noticed, its numbers are right, and its size is bounded."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise

import pytest
import redis
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sse_service.brokers.valkey import connections, scripts
from sse_service.brokers.valkey.scripts import KEYS
from sse_service.model.errors import Unavailable
from sse_service.model.reasons import GapReason
from tests.contracts.harness import BrokerHarness, ids, route
from tests.integration.until import until

pytestmark = pytest.mark.parametrize("factory", ["valkey"], indirect=True)

MakeHarness = Callable[..., BrokerHarness]


@pytest.mark.parametrize("key", ["{sse}:book", "{sse}:channels", "{sse}:seen", "{sse}:seen:old"])
def test_losing_a_metadata_key_begins_a_new_epoch(make_harness: MakeHarness, client: redis.Redis, key: str) -> None:
    harness = make_harness(dedupe_seconds=10)
    harness.publish(route("a"))
    harness.clock.now += 11
    harness.publish(route("b"))
    before = harness.position()
    harness.publish(route("c"))
    harness.clock.now -= 60
    assert client.exists(key)
    client.delete(key)
    page = harness.replay(before)
    assert page.gap is GapReason.EPOCH
    assert page.upto.epoch != before.epoch
    assert page.upto.offset > harness.live[-1].cursor.offset
    assert not client.exists("{sse}:history:user:1")


def test_losing_a_metadata_field_begins_a_new_epoch(make_harness: MakeHarness, client: redis.Redis) -> None:
    harness = make_harness()
    for field in ("epoch", "run", "last", "floor", "bytes", "seen", "old", "rotated", "scan", "@user:1"):
        harness.publish(route(field))
        before = harness.position()
        client.hdel("{sse}:book", field)
        assert harness.replay(before).gap is GapReason.EPOCH, field


def test_history_without_metadata_does_not_become_part_of_the_next_epoch(
    make_harness: MakeHarness, client: redis.Redis
) -> None:
    harness = make_harness()
    harness.publish(route("a"), route("b", "user:2"))
    client.delete("{sse}:book", "{sse}:channels", "{sse}:seen")
    before = harness.position()
    harness.publish(route("c"))
    for channel, held in (("user:1", ["c"]), ("user:2", [])):
        page = harness.replay(before, channel)
        assert page.gap is None
        assert ids(page.entries) == ids(harness.replay(None, channel).entries) == held


def test_a_lost_history_is_a_gap(make_harness: MakeHarness, client: redis.Redis) -> None:
    harness = make_harness()
    before = harness.position()
    harness.publish(route("a"), route("b", "user:2"))
    client.delete("{sse}:history:user:1")
    assert harness.replay(before).gap is GapReason.TRIMMED
    harness.publish(route("c"))
    assert harness.replay(before).gap is GapReason.TRIMMED
    assert harness.replay(before, "user:2").gap is None


@pytest.mark.parametrize("which", [0, 1, 2])
def test_a_single_lost_entry_is_a_gap(make_harness: MakeHarness, client: redis.Redis, which: int) -> None:
    harness = make_harness()
    before = harness.position()
    harness.publish(route("a"), route("b"), route("c"))
    client.xdel("{sse}:history:user:1", f"{harness.live[which].cursor.offset}-0")
    assert harness.replay(before).gap is GapReason.TRIMMED


def test_a_replaced_entry_is_a_gap(make_harness: MakeHarness, client: redis.Redis) -> None:
    harness = make_harness()
    before = harness.position()
    harness.publish(route("a"), route("b"))
    (_, fields), _ = client.xrange("{sse}:history:user:1")
    client.delete("{sse}:history:user:1")
    for place in ("2-0", "3-0"):
        client.xadd("{sse}:history:user:1", fields, id=place)
    assert harness.replay(before).gap is GapReason.TRIMMED


CHANNELS = ("user:1", "user:2", "user:3", "broadcast")
STEP = st.one_of(
    st.tuples(st.lists(st.sampled_from(CHANNELS), min_size=1, max_size=3, unique=True), st.integers(0, 3000)),
    st.integers(0, 30),
    st.sampled_from(CHANNELS),
)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(steps=st.lists(STEP, max_size=25))
def test_the_metadata_agrees_with_the_stored_entries(
    make_harness: MakeHarness, client: redis.Redis, steps: list[tuple[list[str], int] | int | str]
) -> None:
    """Publishes events of random sizes to random channels, moves the clock, and loses histories."""
    harness = make_harness(history_events=4, history_seconds=60, history_bytes=20_000)
    for number, step in enumerate(steps):
        if isinstance(step, int):
            harness.clock.now += step
        elif isinstance(step, str):
            client.delete(f"{{sse}}:history:{step}")
            harness.replay(None, step)
        else:
            harness.publish(route(str(number), *step[0], data="x" * step[1]))
        metadata = client.hgetall("{sse}:book")
        assert isinstance(metadata, dict)
        records = {name[1:]: [int(n) for n in text.split()] for name, text in metadata.items() if name[0] == "@"}
        assert int(metadata["bytes"]) == sum(record[2] for record in records.values()) <= 20_000
        scores = dict(client.zrange("{sse}:channels", 0, -1, withscores=True))
        assert scores.keys() == records.keys()
        # With an age of 60 s, a score may be a second old.
        assert all(scores[name] <= record[0] < scores[name] + 1_000_000 for name, record in records.items())
        for name, (last, floor, size, count, _first) in records.items():
            held = client.xrange(f"{{sse}}:history:{name}")
            assert len(held) == count <= 4
            assert size == 4800 + sum(len(fields["e"].encode()) + 110 for _, fields in held)
            assert not held or floor < int(held[0][0].partition("-")[0]) <= int(held[-1][0].partition("-")[0]) == last


def test_expired_channels_are_removed_except_for_the_floor(make_harness: MakeHarness, client: redis.Redis) -> None:
    harness = make_harness(history_seconds=60)
    before = harness.position()
    harness.publish(*(route(str(number), f"user:{number}") for number in range(50)))
    harness.clock.now += 61
    harness.publish(route("young"))
    # Each call removes twenty channels. The probes remove the others.
    harness.run(until(lambda: client.zcard("{sse}:channels") == 1))
    assert client.hlen("{sse}:book") == 9 + 1
    assert len(list(client.scan_iter("{sse}:history:*"))) == 1
    assert int(str(client.hget("{sse}:book", "floor"))) > before.offset
    assert harness.replay(before, "user:7").gap is GapReason.EXPIRED


def test_a_restarted_server_gives_a_gap_and_what_is_left(make_harness: MakeHarness, client: redis.Redis) -> None:
    harness = make_harness()
    before = harness.position()
    harness.publish(route("a"))
    client.hset("{sse}:book", "run", "another")
    page = harness.replay(before)
    assert page.gap is GapReason.EPOCH
    assert ids(page.entries) == ["a"]
    # A stream that is cut after this gap resumes without another one, even from an entry older than the new epoch.
    assert harness.replay(page.entries[0].cursor).gap is None
    assert harness.replay(page.upto).gap is None


def test_offsets_are_never_reused(make_harness: MakeHarness, client: redis.Redis) -> None:
    harness = make_harness()
    for key in ("run", "epoch"):
        harness.publish(route(key))
        harness.clock.now -= 60
        client.hset("{sse}:book", "run", "another") if key == "run" else client.delete("{sse}:channels")
        harness.publish(route(f"after {key}"))
    offsets = [entry.cursor.offset for entry in harness.live]
    assert all(one < other for one, other in pairwise(offsets))


def test_when_memory_is_full_publishing_fails_and_replay_works(
    make_harness: MakeHarness, client: redis.Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    harness = make_harness(history_seconds=60)
    before = harness.position()
    harness.publish(*(route(str(number), data="x" * 100_000) for number in range(20)))
    used = int(client.info("memory")["used_memory"])
    client.config_set("maxmemory", used - 500_000)
    try:
        with pytest.raises(Unavailable, match="out of memory"):
            harness.publish(route("more"))
        assert harness.broker.trouble == "the server is out of memory"
        # The trouble ends by itself: another task may have stored the event, so this one may never publish again.
        with monkeypatch.context() as later:
            later.setattr(connections, "OPERATION_TROUBLE_SECONDS", 0)
            assert harness.broker.trouble is None
        assert len(harness.replay(before).entries) > 0
        # The probes remove expired events, which frees memory.
        harness.clock.now += 61
        harness.run(until(lambda: not client.exists("{sse}:history:user:1")))
        harness.publish(route("again"))
        assert harness.broker.trouble is None
    finally:
        client.config_set("maxmemory", 0)


def test_scripts_are_sent_again_after_the_server_forgot_them(make_harness: MakeHarness, client: redis.Redis) -> None:
    harness = make_harness()
    harness.publish(route("a"))
    client.script_flush()
    harness.publish(route("b"))
    client.script_flush()
    assert ids(harness.replay(None).entries) == ["a", "b"]


def test_unlisted_histories_of_an_earlier_epoch_are_removed(make_harness: MakeHarness, client: redis.Redis) -> None:
    harness = make_harness()
    harness.publish(*(route(str(number), f"user:{number}") for number in range(500)))
    client.delete("{sse}:book", "{sse}:channels")
    harness.publish(route("new", "user:1"))
    harness.run(until(lambda: client.hget("{sse}:book", "scan") == "done"))
    assert list(client.scan_iter("{sse}:history:*")) == ["{sse}:history:user:1"]


def test_each_call_removes_at_most_twenty_expired_channels(make_harness: MakeHarness, client: redis.Redis) -> None:
    harness = make_harness(history_seconds=60)
    harness.publish(*(route(str(number), f"user:{number}") for number in range(50)))
    harness.clock.now += 61
    harness._factory.set_time(harness.clock)
    # The broker sends no probes while its loop does not run.
    words = (len(KEYS), *KEYS, client.info("server")["run_id"], "0" * 8, 60_000_000, "nobody")
    left = [client.zcard("{sse}:channels")]
    while left[-1]:
        client.eval(scripts.source("probe"), *words)
        left.append(client.zcard("{sse}:channels"))
    assert left == [50, 30, 10, 0]


def test_a_script_that_fails_half_way_begins_a_new_epoch(make_harness: MakeHarness, client: redis.Redis) -> None:
    harness = make_harness()
    harness.publish(route("a"))
    before = harness.position()
    client.execute_command("ACL", "SETUSER", "default", "-publish")
    try:
        with pytest.raises(Unavailable):
            harness.publish(route("b"))
    finally:
        client.execute_command("ACL", "SETUSER", "default", "+publish")
    harness.run(until(lambda: harness.broker.trouble is None))
    harness.publish(route("b"), route("c"))
    page = harness.replay(before)
    assert page.gap is GapReason.EPOCH
    assert ids(page.entries) == ["b", "c"]
    assert page.entries[0].cursor.offset > before.offset


def test_a_channel_keeps_its_newest_events_and_at_most_a_tenth_more(
    make_harness: MakeHarness, client: redis.Redis
) -> None:
    harness = make_harness(history_events=20)
    for number in range(50):
        harness.publish(route(str(number)))
        held = client.xlen("{sse}:history:user:1")
        assert min(number + 1, 20) <= held <= 22
        assert ids(harness.replay(None).entries) == [str(kept) for kept in range(number + 1 - held, number + 1)]


def test_a_busy_channel_loses_what_is_too_old(make_harness: MakeHarness, client: redis.Redis) -> None:
    harness = make_harness(history_seconds=60)
    for number in range(30):
        harness.publish(route(str(number)))
        harness.clock.now += 5
        assert client.xlen("{sse}:history:user:1") <= 15


def test_something_else_in_the_place_of_a_history_is_a_gap(make_harness: MakeHarness, client: redis.Redis) -> None:
    harness = make_harness()
    harness.publish(route("a"))
    before = harness.position()
    harness.publish(route("b"))
    client.set("{sse}:history:user:1", "junk")
    harness.publish(route("c"))
    page = harness.replay(before)
    assert page.gap is GapReason.TRIMMED
    assert ids(page.entries) == ["c"]


def test_more_channels_and_events_than_lua_can_unpack_are_stored(
    make_harness: MakeHarness, client: redis.Redis
) -> None:
    harness = make_harness(history_bytes=2**30)
    before = harness.position()
    names = [f"user:{number}" for number in range(5_000)]
    routes = [route(f"wide {start}", *names[start : start + 100]) for start in range(0, 5_000, 100)]
    routes += [route(f"{number}") for number in range(4_500)]
    harness.publish(*routes)
    assert client.zcard("{sse}:channels") == client.hlen("{sse}:book") - 9 == 5_000
    page = harness.replay(before, names[-1])
    assert (page.gap, ids(page.entries)) == (None, ["wide 4900"])
    assert client.hlen("{sse}:seen") == len(routes)
    harness.publish(*routes)
    assert f'sse_duplicates_total{{kind="same"}} {len(routes)}.0' in harness.metrics.render().decode()


def test_the_channels_idle_longest_make_room(make_harness: MakeHarness, client: redis.Redis) -> None:
    harness = make_harness(history_bytes=30_000)
    harness.publish(*(route(name, f"user:{name}") for name in "123456"))
    # The index learns of these only when it is asked.
    harness.publish(route("again", "user:1"))
    harness.publish(route("new", "user:7"), route("new", "user:8"))
    assert set(client.zrange("{sse}:channels", 0, -1)) == {f"user:{number}" for number in (1, 4, 5, 6, 7, 8)}
    assert harness.replay(None, "user:1").entries
