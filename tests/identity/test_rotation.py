"""Providers that turn their keys, break, or are away: nobody who has a good token is refused."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.faults.attack_target import paced
from tests.faults.raw_clients import Peer, connect, request
from tests.identity.keys import SigningKey
from tests.identity.storm import ASK_SECONDS, bystanders, p99, port_of, storm, storm_target, wait_until_askable
from tests.identity.target import OPENED, OVERLOAD, SESSION, UNAUTHORIZED, Target, environment, target
from tests.identity.test_key_sets import KEYS_FAULTS, break_keys
from tests.identity.tokens import claims_of, token
from tests.integration.until import until

OPENS = 400
"""``python -m tests.identity.storm`` opens more."""

FLOOD_SECONDS = 4.0
FLOOD_RATE = 200


@pytest.fixture(scope="module")
def attacked(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Target]:
    names = ("one", "flooded", "storming", "turning")
    with storm_target(tmp_path_factory.mktemp("provider"), *names, others=tuple(KEYS_FAULTS)) as running:
        yield running


def unknown(attacked: Target, issuer: str) -> str:
    """Make a token of a key that no provider has."""
    return token(SigningKey.generate("ES256"), claims_of(attacked.provider.issuer(issuer)))


async def flood(attacked: Target) -> tuple[list[Peer], list[float]]:
    """Send tokens of unknown keys, while others open streams."""
    key = SigningKey.generate("ES256")
    claims = claims_of(attacked.provider.issuer("flooded"))
    peers: list[Peer] = []
    async with bystanders(attacked) as others, asyncio.TaskGroup() as tasks:
        async for number in paced(FLOOD_RATE, FLOOD_SECONDS):
            peers.append(Peer(request(token(key, claims, kid=f"unknown-{number}"))))
            tasks.create_task(connect(port_of(attacked), peers[-1]))
    await until(lambda: all(peer.status for peer in peers), "everybody gets an answer")
    for peer in peers:
        peer.leave()
    return peers, others


def test_a_new_key_within_30_seconds_of_a_fetch_is_no_reason_for_a_401(attacked: Target) -> None:
    login = attacked.provider
    fetched = login.fetched("turning")
    login.rotate("turning")
    # Only a fetch could tell this token from a forged one.
    assert attacked.answer_to(login.token("turning")) == OVERLOAD
    assert attacked.answer_to(unknown(attacked, "turning")) == OVERLOAD
    assert attacked.answer_to(login.token("turning", key=1)) == OPENED
    assert login.fetched("turning") == fetched
    attacked.wait_for("turning")
    assert len(login.fetched("turning")) == len(fetched) + 1
    assert login.fetched("turning")[-1] - fetched[-1] >= ASK_SECONDS
    assert attacked.answer_to(unknown(attacked, "turning")) == OVERLOAD


def test_a_flood_of_unknown_key_ids_causes_one_fetch_and_delays_nobody(attacked: Target) -> None:
    wait_until_askable(attacked, "flooded")
    before = len(attacked.provider.fetched("flooded"))
    peers, others = asyncio.run(flood(attacked))
    assert len(peers) >= FLOOD_RATE * FLOOD_SECONDS * 0.9
    # 200 is the overload answer to an EventSource.
    assert {peer.status for peer in peers} <= {200, 401}
    assert len(attacked.provider.fetched("flooded")) == before + 1
    assert len(others) > FLOOD_SECONDS * 20
    # A stream that waits for the provider would take seconds.
    assert p99(others) < 1
    assert attacked.asked_outside == []


def test_in_a_storm_with_a_new_key_everybody_is_served_after_one_fetch(attacked: Target) -> None:
    wait_until_askable(attacked, "storming")
    figures = asyncio.run(storm(attacked, "storming", OPENS))
    assert (figures.opened, figures.refused, figures.fetches) == (OPENS, 0, 1), figures.line
    assert figures.p99 < 1, figures.line


@pytest.mark.parametrize("name", KEYS_FAULTS, ids=KEYS_FAULTS.get)
def test_the_known_keys_stay_when_their_issuer_breaks(attacked: Target, name: str) -> None:
    login = attacked.provider
    break_keys(login, attacked.outside, name, KEYS_FAULTS[name])
    wait_until_askable(attacked, name)
    # It makes the service fetch the keys again.
    assert attacked.answer_to(unknown(attacked, name)) == OVERLOAD
    assert len(login.fetched(name)) > 1
    said = attacked.wait_for_trouble(name)
    assert said.startswith("ok: ")
    assert said.endswith(" s ago are in use")
    assert attacked.answer_to(login.token(name)) == OPENED
    # Nobody is refused for it, so the task is as ready as before.
    ready = attacked.chain.get("/readyz")
    assert (ready.status_code, ready.json()["status"]) == (200, "ready")
    assert attacked.asked_outside == []


def test_a_session_that_ends_while_the_keys_are_away_is_revoked_by_a_later_try(tmp_path: Path) -> None:
    with environment(tmp_path, "one") as (login, out, queue):
        cookie = {"Cookie": f"{SESSION}={login.token('one')}"}
        login.kill()
        with target(login, out, queue, ["one"]) as attacked:

            def end() -> httpx.Response:
                return attacked.chain.client.delete(f"{attacked.chain.url}/session", headers=cookie)

            refused = end()
            assert refused.status_code == 503
            assert int(refused.headers["retry-after"]) > 0
            # Nobody must stay signed in because the provider is away.
            assert "Max-Age=0" in refused.headers["set-cookie"]
            login.start()
            attacked.wait_for("one")
            answer = end()
            assert answer.status_code == 204
            assert "Max-Age=0" in answer.headers["set-cookie"]
            assert attacked.answer(*cookie.items()) == UNAUTHORIZED


def test_a_provider_that_is_away_at_the_start_is_named_and_its_users_are_admitted_when_it_comes(
    tmp_path: Path,
) -> None:
    with environment(tmp_path, "one") as (login, out, queue):
        login.kill()
        with target(login, out, queue, ["one"]) as attacked:
            assert attacked.wait_for_trouble("one")
            ready = attacked.chain.get("/readyz")
            assert ready.status_code == 503
            assert login.issuer("one") in ready.text
            assert attacked.answer_to(login.token("one")) == OVERLOAD
            assert attacked.answer_to(attacked.own_back_end.sign("42")) == OPENED
            login.start()
            attacked.wait_for("one")
            assert attacked.trouble("one") is None
            assert attacked.answer_to(login.token("one")) == OPENED
            login.kill()
            # Its keys are known: nothing changes for anybody.
            assert attacked.answer_to(login.token("one", "7", key=1)) == OPENED
            assert attacked.answer_to(token(login.keys["one"][0], claims_of("x"))) == UNAUTHORIZED
            assert attacked.answer_to(unknown(attacked, "one")) == OVERLOAD
