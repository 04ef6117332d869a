"""What a token with an unknown kid causes: one fetch that all wait for, and no more than one in 30 seconds."""

from __future__ import annotations

import asyncio

from sse_service.auth.providers.provider import MAX_WAITING
from tests.unit.auth.providers.provider_setup import AWAY, NEW, OLD, Setup, key_set, run, turns
from tests.unit.task import wait_until


def test_a_new_key_is_fetched_when_a_token_names_it() -> None:
    async def body() -> None:
        setup = Setup(key_set(OLD), key_set(OLD, NEW))
        async with setup.running():
            setup.now += 30
            assert await setup.find("new") == "new"
            assert setup.fetches == 2

    run(body)


def test_within_30_seconds_of_a_fetch_an_unknown_kid_cannot_be_judged() -> None:
    async def body() -> None:
        setup = Setup(key_set(OLD), key_set(NEW))
        async with setup.running():
            setup.now += 29
            assert await setup.find("new") == "overloaded"
            assert await setup.find("old") == "old"
            assert setup.fetches == 1

    run(body)


def test_a_kid_that_stays_unknown_is_refused() -> None:
    async def body() -> None:
        setup = Setup(key_set(OLD))
        async with setup.running():
            setup.now += 30
            assert await setup.find("unknown") == "invalid"
            assert await setup.find("unknown") == "overloaded"

    run(body)


def test_when_the_fetch_fails_an_unknown_kid_cannot_be_judged() -> None:
    async def body() -> None:
        setup = Setup(key_set(OLD), AWAY)
        async with setup.running():
            setup.now += 30
            assert await setup.find("new") == "overloaded"
            assert await setup.find("old") == "old"
            assert setup.fetches == 2

    run(body)


def test_unknown_kids_at_200_a_second_cause_one_fetch_in_30_seconds() -> None:
    async def body() -> None:
        setup = Setup(key_set(OLD))
        async with setup.running():
            began = setup.now
            answers = []
            for number in range(200 * 90):
                setup.now = began + number / 200
                answers.append(await setup.find(str(number)))
                await turns(2)
            assert setup.fetches == 1 + 2
            assert answers.count("invalid") == 2
            assert answers.count("overloaded") == len(answers) - 2

    run(body)


def test_all_who_wait_share_one_fetch_and_go_on_one_in_each_turn_of_the_loop() -> None:
    async def body() -> None:
        setup = Setup(key_set(OLD), key_set(OLD, NEW))
        turn, found_in = 0, []

        async def open_stream() -> None:
            assert await setup.find("new") == "new"
            found_in.append(turn)

        async with setup.running():
            setup.now += 60
            setup.gate.clear()
            storm = [asyncio.create_task(open_stream()) for _ in range(1000)]
            await wait_until(lambda: setup.fetches == 2)
            # More come while the fetch is under way.
            storm += [asyncio.create_task(open_stream()) for _ in range(1000)]
            await turns()
            assert await setup.find("old") == "old"
            setup.gate.set()
            while not all(each.done() for each in storm):
                turn += 1
                await asyncio.sleep(0)
            await asyncio.gather(*storm)
            assert setup.fetches == 2
            assert len(set(found_in)) == 2000

    run(body)


def test_who_asks_while_a_fetch_is_under_way_is_not_refused_by_an_answer_that_may_be_older() -> None:
    async def body() -> None:
        setup = Setup(key_set(OLD))
        async with setup.running():
            setup.now += 60
            setup.gate.clear()
            first = asyncio.create_task(setup.find("unknown"))
            await wait_until(lambda: setup.fetches == 2)
            later = asyncio.create_task(setup.find("unknown"))
            await turns()
            setup.gate.set()
            assert await first == "invalid"
            assert await later == "overloaded"
            assert setup.fetches == 2

    run(body)


def test_a_flood_of_unknown_kids_does_not_keep_the_provider_from_fetching_again() -> None:
    async def body() -> None:
        setup = Setup(key_set(OLD), key_set(OLD), key_set(OLD, NEW))
        flooding = True

        async def flood() -> None:
            while flooding:
                assert await setup.find("unknown") in ("invalid", "overloaded")
                await asyncio.sleep(0)

        async with setup.running():
            setup.now += 30
            clients = [asyncio.create_task(flood()) for _ in range(20)]
            await wait_until(lambda: setup.fetches == 2)
            await turns(100)
            setup.now += 30
            found = await setup.find("new")
            flooding = False
            await asyncio.gather(*clients)
            assert (found, setup.fetches) == ("new", 3)

    run(body)


def test_who_comes_while_those_who_waited_go_on_waits_for_no_fetch() -> None:
    async def body() -> None:
        setup = Setup(key_set(OLD))
        async with setup.running():
            setup.now += 30
            storm = [asyncio.create_task(setup.find("unknown")) for _ in range(100)]
            await wait_until(lambda: any(each.done() for each in storm))
            assert not storm[-1].done()
            assert await setup.find("unknown") == "overloaded"
            assert not storm[-1].done()
            assert await asyncio.gather(*storm) == ["invalid"] * 100
            assert setup.fetches == 2

    run(body)


def test_a_limited_number_of_requests_waits_for_a_fetch() -> None:
    async def body() -> None:
        setup = Setup(key_set(OLD), key_set(NEW))
        async with setup.running():
            setup.now += 30
            setup.gate.clear()
            storm = [asyncio.create_task(setup.find("new")) for _ in range(MAX_WAITING)]
            await wait_until(lambda: setup.fetches == 2)
            assert await setup.find("new") == "overloaded"
            setup.gate.set()
            assert set(await asyncio.gather(*storm)) == {"new"}

    run(body)


def test_after_a_failed_fetch_an_unknown_kid_waits_as_long_as_the_next_try() -> None:
    async def body() -> None:
        setup = Setup(key_set(OLD), AWAY, key_set(NEW))
        async with setup.running():
            setup.now += 30
            assert await setup.find("new") == "overloaded"
            setup.now += 29
            assert await setup.find("new") == "overloaded"
            assert setup.fetches == 2
            setup.now += 1
            assert await setup.find("new") == "new"

    run(body)


def test_a_client_that_leaves_does_not_end_the_fetch_of_the_others() -> None:
    async def body() -> None:
        setup = Setup(key_set(OLD), key_set(NEW))
        async with setup.running():
            setup.now += 60
            setup.gate.clear()
            storm = [asyncio.create_task(setup.find("new")) for _ in range(3)]
            await wait_until(lambda: setup.fetches == 2)
            storm[0].cancel()
            await turns()
            setup.gate.set()
            assert await asyncio.gather(*storm[1:]) == ["new", "new"]
            assert storm[0].cancelled()
            assert setup.fetches == 2

    run(body)


def test_who_waits_when_the_task_ends_is_told_to_come_back() -> None:
    async def body() -> None:
        setup = Setup(key_set(OLD))
        async with setup.running():
            setup.now += 60
            setup.gate.clear()
            waiting = asyncio.create_task(setup.find("new"))
            await wait_until(lambda: setup.fetches == 2)
        assert await waiting == "overloaded"

    run(body)
