"""The case about tokens of an identity provider: what checking one costs, and a change of keys among many openings."""

from __future__ import annotations

import time
from functools import partial

from tests.benchmarks.bench import Bench
from tests.benchmarks.pinned_process import by_turns
from tests.benchmarks.stream_cases import STORM_MS, cpu_of_opening, paced
from tests.benchmarks.table import Row, median
from tests.integration.key_server import KeyServer, key_server
from tests.unit.auth.providers.signing_keys import ISSUER, SigningKey

KEY, NEW_KEY = SigningKey("old"), SigningKey("new", number=1)
RS256_RATIO = 1.3
UNKNOWN_KEY_SECONDS = 31
"""After a fetch the service asks for an unknown key no sooner than 30 s later."""


def identity(bench: Bench) -> list[Row]:
    """Open streams with RS256 tokens and with HS256 tokens, then many at once with a key that is new."""
    with key_server(KEY) as keys:
        rows = [_opening(bench, keys)]
        return rows + _rotation(bench, keys) if bench.size.rotated else rows


def _settings(keys: KeyServer) -> dict[str, str]:
    return {"jwks_url": f"{keys.url}/keys", "jwt_issuer": ISSUER, "jwt_audience": "push"}


def _tokens(key: SigningKey, users: range) -> list[str]:
    """Sign a token for each user."""
    return [key.sign(sub=str(user), exp=int(time.time()) + 86_400) for user in users]


def _opening(bench: Bench, keys: KeyServer) -> Row:
    size = bench.size
    count, streams = size.opened // size.turns, size.opened
    tokens = _tokens(KEY, range(streams))
    with (
        bench.driven(**_settings(keys)) as (with_keys, _),
        bench.with_tokens(with_keys, tokens) as rs256,
        bench.driven() as (with_secret, _),
        bench.ours(with_secret, streams) as hs256,
    ):
        measured = [
            (server, partial(cpu_of_opening, bench, load, server, count, iter(range(0, streams, count))))
            for server, load in ((with_keys, rs256), (with_secret, hs256))
        ]
        turns = by_turns(size.turns, *measured)
    name = "CPU of opening a stream with an RS256 token"
    return median([Row(name, "µs", ours, theirs, "HS256", RS256_RATIO) for ours, theirs in turns])


def _rotation(bench: Bench, keys: KeyServer) -> list[Row]:
    size = bench.size
    count, others = size.rotated, size.others * 2
    sent = others * 2 * size.seconds
    tokens = _tokens(NEW_KEY, range(count)) + _tokens(KEY, range(count, count + others))
    with bench.driven(**_settings(keys)) as (server, control), bench.with_tokens(server, tokens) as load:
        bench.open(load, count, others)
        time.sleep(UNKNOWN_KEY_SECONDS)
        keys.publish(KEY, NEW_KEY)
        fetched = len(keys.asked)
        load("watch", count, others)
        load("reset")
        with paced(control, first=count, users=others, count=sent, per_second=others * 2):
            began = time.monotonic()
            load("open", 0, count, count)
            served = time.monotonic() - began
        load("await", count, others, sent // others, 30)
        own = load("figures")["own"]
        load("check", count, others, sent // others, 0)
        load("check", 0, count, 0, 0)
    return [
        Row(f"until {count:,} streams with a new key are open", "s", served),
        Row("fetches of keys for it", "", len(keys.asked) - fetched, bar=1),
        Row("others' live events meanwhile, p99", "ms", own["p99"] / 1000, bar=STORM_MS),
    ]
