"""The metadata in Valkey: losing a part of it is noticed, its sums are right, and it does not grow without end."""

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
from tests.contracts.setup import Setup, ids, route
from tests.integration.until import until

pytestmark = pytest.mark.parametrize("make", ["valkey"], indirect=True)

SetupOf = Callable[..., Setup]


@pytest.mark.parametrize("key", ["{sse}:book", "{sse}:channels", "{sse}:seen", "{sse}:seen:old"])
def test_losing_a_part_of_the_metadata_begins_a_new_epoch(setup_of: SetupOf, client: redis.Redis, key: str) -> None:
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


def test_losing_a_field_of_the_metadata_begins_a_new_epoch(setup_of: SetupOf, client: redis.Redis) -> None:
    setup = setup_of()
    for field in ("epoch", "run", "last", "floor", "bytes", "seen", "old", "rotated", "scan", "@user:1"):
        setup.publish(route(field))
        before = setup.position()
        client.hdel("{sse}:book", field)
        assert setup.replay(before).gap is GapReason.EPOCH, field


def test_history_without_any_metadata_does_not_become_part_of_the_next_epoch(
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


def test_a_lost_history_is_a_gap(setup_of: SetupOf, client: redis.Redis) -> None:
    setup = setup_of()
    before = setup.position()
    setup.publish(route("a"), route("b", "user:2"))
    client.delete("{sse}:history:user:1")
    assert setup.replay(before).gap is GapReason.TRIMMED
    setup.publish(route("c"))
    assert setup.replay(before).gap is GapReason.TRIMMED
    assert setup.replay(before, "user:2").gap is None


@pytest.mark.parametrize("which", [0, 1, 2])
def test_a_single_lost_entry_is_a_gap(setup_of: SetupOf, client: redis.Redis, which: int) -> None:
    setup = setup_of()
    before = setup.position()
    setup.publish(route("a"), route("b"), route("c"))
    client.xdel("{sse}:history:user:1", f"{setup.live[which].cursor.offset}-0")
    assert setup.replay(before).gap is GapReason.TRIMMED


def test_a_replaced_entry_is_a_gap(setup_of: SetupOf, client: redis.Redis) -> None:
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
def test_the_sums_are_those_of_the_stored_entries(
    setup_of: SetupOf, client: redis.Redis, steps: list[tuple[list[str], int] | int | str]
) -> None:
    """After events of random channels and sizes, seconds between them, and lost histories."""
    setup = setup_of(history_events=4, history_seconds=60, history_bytes=20_000)
    for number, step in enumerate(steps):
        if isinstance(step, int):
            setup.clock.now += step
        elif isinstance(step, str):
            client.delete(f"{{sse}}:history:{step}")
            setup.replay(None, step)
        else:
            setup.publish(route(str(number), *step[0], data="x" * step[1]))
        metadata = client.hgetall("{sse}:book")
        assert isinstance(metadata, dict)
        records = {name[1:]: [int(n) for n in text.split()] for name, text in metadata.items() if name[0] == "@"}
        assert int(metadata["bytes"]) == sum(record[2] for record in records.values()) <= 20_000
        assert client.zrange("{sse}:channels", 0, -1, withscores=True) == sorted(
            ((name, float(record[0])) for name, record in records.items()), key=lambda pair: (pair[1], pair[0])
        )
        for name, (last, floor, size, count, _first) in records.items():
            held = client.xrange(f"{{sse}}:history:{name}")
            assert len(held) == count <= 4
            assert size == 4800 + sum(len(fields["e"].encode()) + 110 for _, fields in held)
            assert not held or floor < int(held[0][0].partition("-")[0]) <= int(held[-1][0].partition("-")[0]) == last


def test_expired_channels_leave_nothing_but_the_floor(setup_of: SetupOf, client: redis.Redis) -> None:
    setup = setup_of(history_seconds=60)
    before = setup.position()
    setup.publish(*(route(str(number), f"user:{number}") for number in range(50)))
    setup.clock.now += 61
    setup.publish(route("young"))
    # Twenty a call: the probes remove the others.
    setup.run(until(lambda: client.zcard("{sse}:channels") == 1))
    assert client.hlen("{sse}:book") == 9 + 1
    assert len(list(client.scan_iter("{sse}:history:*"))) == 1
    assert int(str(client.hget("{sse}:book", "floor"))) > before.offset
    assert setup.replay(before, "user:7").gap is GapReason.EXPIRED


def test_another_run_of_the_server_is_a_gap_then_what_is_left(setup_of: SetupOf, client: redis.Redis) -> None:
    setup = setup_of()
    before = setup.position()
    setup.publish(route("a"))
    client.hset("{sse}:book", "run", "another")
    page = setup.replay(before)
    assert page.gap is GapReason.EPOCH
    assert ids(page.entries) == ["a"]
    # A stream that is cut after this gap goes on without another, even from an entry older than the new epoch.
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


def test_when_memory_is_full_publishing_fails_and_replay_works(
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
        # Another task may have stored it meanwhile, and this one may have nothing more to publish.
        with monkeypatch.context() as later:
            later.setattr(connections, "OPERATION_TROUBLE_SECONDS", 0)
            assert setup.broker.trouble is None
        assert len(setup.replay(before).entries) > 0
        # The probes remove what is too old, and that makes room.
        setup.clock.now += 61
        setup.run(until(lambda: not client.exists("{sse}:history:user:1")))
        setup.publish(route("again"))
        assert setup.broker.trouble is None
    finally:
        client.config_set("maxmemory", 0)


def test_scripts_that_the_server_forgot_are_sent_again(setup_of: SetupOf, client: redis.Redis) -> None:
    setup = setup_of()
    setup.publish(route("a"))
    client.script_flush()
    setup.publish(route("b"))
    client.script_flush()
    assert ids(setup.replay(None).entries) == ["a", "b"]


def test_orphans_of_an_earlier_epoch_are_removed_even_if_nothing_names_them(
    setup_of: SetupOf, client: redis.Redis
) -> None:
    setup = setup_of()
    setup.publish(*(route(str(number), f"user:{number}") for number in range(500)))
    client.delete("{sse}:book", "{sse}:channels")
    setup.publish(route("new", "user:1"))
    setup.run(until(lambda: client.hget("{sse}:book", "scan") == "done"))
    assert list(client.scan_iter("{sse}:history:*")) == ["{sse}:history:user:1"]


def test_at_most_twenty_expired_channels_are_removed_at_once(setup_of: SetupOf, client: redis.Redis) -> None:
    setup = setup_of(history_seconds=60)
    setup.publish(*(route(str(number), f"user:{number}") for number in range(50)))
    setup.clock.now += 61
    setup._make.tell(setup.clock)
    # The broker sends no probes while its loop does not run.
    words = (len(KEYS), *KEYS, client.info("server")["run_id"], "0" * 8, 60_000_000, "nobody")
    left = [client.zcard("{sse}:channels")]
    while left[-1]:
        client.eval(scripts.source("probe"), *words)
        left.append(client.zcard("{sse}:channels"))
    assert left == [50, 30, 10, 0]
