"""When a provider's keys are fetched, how long they serve, and which of them are used."""

from __future__ import annotations

import logging

import pytest

from sse_service.auth.outbound.fetch import FetchError
from sse_service.auth.providers.provider import Timing
from tests.unit.auth.providers.provider_setup import AT_ONCE, AWAY, NEW, OLD, Setup, key_set, run, turns
from tests.unit.auth.providers.signing_keys import ISSUER, SigningKey
from tests.unit.task import wait_until


def test_keys_are_fetched_at_the_start() -> None:
    async def body() -> None:
        setup = Setup(key_set(OLD))
        assert await setup.find("old") == "overloaded"
        assert setup.provider.trouble == "its keys have not been fetched yet"
        async with setup.running():
            assert await setup.find("old") == "old"
            assert setup.provider.trouble is None
            assert setup.provider.note is None
            assert setup.fetches == 1

    run(body)


def test_a_provider_that_is_away_at_the_start_is_asked_until_it_is_back() -> None:
    async def body() -> None:
        setup = Setup(AWAY, AWAY, key_set(OLD), timing=AT_ONCE)
        await setup.provider.refresh()
        assert setup.provider.trouble == "it cannot be reached"
        assert await setup.find("old") == "overloaded"
        async with setup.running():
            await wait_until(lambda: setup.provider.trouble is None)
            assert await setup.find("old") == "old"

    run(body)


@pytest.mark.parametrize(
    ("max_age", "seconds"), [(None, 3600), (0, 300), (299, 300), (600, 600), (86_400, 86_400), (10**10, 86_400)]
)
def test_keys_are_fetched_again_when_the_provider_says_within_bounds(max_age: int | None, seconds: float) -> None:
    assert Timing().refresh(max_age) == seconds


def test_keys_are_fetched_again_by_themselves() -> None:
    async def body() -> None:
        setup = Setup(key_set(OLD, max_age=0), key_set(NEW, max_age=600), timing=AT_ONCE)
        async with setup.running():
            await wait_until(lambda: setup.fetches == 2)
            await turns()
            assert await setup.find("new") == "new"
            assert setup.provider.keys is not None
            assert setup.provider.keys.kids == {"new"}

    run(body)


def test_keys_can_be_fetched_once_without_running() -> None:
    async def body() -> None:
        setup = Setup(key_set(OLD))
        await setup.provider.refresh()
        assert await setup.find("old") == "old"
        setup.now += 60
        assert await setup.find("unknown") == "overloaded"
        assert setup.fetches == 1

    run(body)


def test_keys_serve_for_24_hours_while_the_provider_is_away() -> None:
    async def body() -> None:
        setup = Setup(key_set(OLD), AWAY)
        await setup.provider.refresh()
        await setup.provider.refresh()
        setup.now += 86_399
        assert await setup.find("old") == "old"
        assert setup.provider.trouble is None
        assert setup.provider.note == "it cannot be reached; keys fetched 86399 s ago are in use"
        setup.now += 1
        assert await setup.find("old") == "overloaded"
        assert setup.provider.trouble == "it cannot be reached"
        assert setup.provider.note is None

    run(body)


def test_keys_that_are_fetched_once_a_day_do_not_expire_before_the_next_fetch() -> None:
    async def body() -> None:
        setup = Setup(key_set(OLD, max_age=86_400))
        await setup.provider.refresh()
        setup.now += 86_460
        assert await setup.find("old") == "old"

    run(body)


def test_a_bad_key_set_leaves_the_old_keys_in_use() -> None:
    async def body() -> None:
        setup = Setup(key_set(OLD), FetchError("login.example.com", "the JWK set has more than 100 keys"))
        await setup.provider.refresh()
        await setup.provider.refresh()
        assert await setup.find("old") == "old"

    run(body)


def test_an_unexpected_error_is_logged_and_the_next_fetch_is_made(caplog: pytest.LogCaptureFixture) -> None:
    async def body() -> None:
        setup = Setup(ZeroDivisionError("secret"), key_set(OLD), timing=AT_ONCE)
        await setup.provider.refresh()
        assert setup.provider.trouble == "unexpected error: see the log"
        async with setup.running():
            assert await setup.find("old") == "old"

    run(body)
    assert caplog.records[0].exc_info


# Which keys


def test_a_known_kid_with_another_algorithm_is_refused_without_a_fetch() -> None:
    async def body() -> None:
        setup = Setup(key_set(OLD))
        async with setup.running():
            setup.now += 60
            assert await setup.find("old", "ES256") == "invalid"
            assert setup.fetches == 1

    run(body)


def test_without_a_kid_the_only_key_for_the_algorithm_is_used() -> None:
    async def body() -> None:
        setup = Setup(key_set(SigningKey(None), SigningKey("ec", algorithm="ES256")))
        await setup.provider.refresh()
        assert await setup.find(None) == "None"
        assert await setup.find(None, "ES256") == "ec"

    run(body)


def test_without_a_kid_a_choice_between_keys_is_refused() -> None:
    async def body() -> None:
        setup = Setup(key_set(OLD, NEW))
        async with setup.running():
            setup.now += 60
            assert await setup.find(None) == "invalid"
            assert setup.fetches == 1

    run(body)


# The log


def test_the_log_says_once_what_changed(caplog: pytest.LogCaptureFixture) -> None:
    async def body() -> None:
        setup = Setup(AWAY, AWAY, key_set(OLD), key_set(OLD), AWAY, AWAY, key_set(OLD), key_set(OLD, NEW))
        for _ in range(8):
            await setup.provider.refresh()

    caplog.set_level(logging.INFO)
    run(body)
    without, first, with_keys, again, rotated = [record.getMessage() for record in caplog.records]
    assert without == (
        f"issuer {ISSUER}: the keys could not be fetched (login.example.com: it cannot be reached); "
        "retrying every 5 s; its tokens cannot be checked until then; clients are told to come back"
    )
    assert first == again == f"issuer {ISSUER}: fetched 1 key"
    assert "retrying every 30 s; the known keys stay in use until 24 h after they were fetched" in with_keys
    assert rotated == f"issuer {ISSUER}: fetched 2 keys"
