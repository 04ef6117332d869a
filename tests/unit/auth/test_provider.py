"""When a provider's keys are fetched, how long they serve, and what waits for them."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import pytest

from sse_service.auth.discovery import FetchedKeys
from sse_service.auth.fetch import FetchError
from sse_service.auth.jwks import read_keys
from sse_service.auth.provider import Provider, Timing
from sse_service.model.errors import InvalidToken, Overloaded
from sse_service.model.reasons import RefusalReason
from tests.integration.process import DEADLINE
from tests.unit.auth.signing_keys import ISSUER, SigningKey
from tests.unit.task import wait_until

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

OLD, NEW = SigningKey("old", number=0), SigningKey("new", number=1)
AWAY = FetchError("login.example.com", "it cannot be reached")
AT_ONCE = Timing(shortest=0, retry_without_keys=0, retry_with_keys=0)


def key_set(*keys: SigningKey, max_age: int | None = None) -> FetchedKeys:
    return FetchedKeys(read_keys({"keys": [key.jwk for key in keys]}, algorithms=["RS256", "ES256"]), max_age)


class Setup:
    """A provider, the answers of its issuer, and a clock that the test moves."""

    def __init__(self, *answers: FetchedKeys | Exception, timing: Timing | None = None) -> None:
        """The last answer is given again and again."""
        self.answers = list(answers)
        self.fetches = 0
        self.now = 1000.0
        self.gate = asyncio.Event()
        """While it is not set, a fetch does not end."""
        self.gate.set()
        self.provider = Provider(
            issuer=ISSUER, issuer_setting="SSE_OIDC_ISSUERS", fetch=self._fetch, timing=timing, clock=lambda: self.now
        )

    async def _fetch(self) -> FetchedKeys:
        self.fetches += 1
        await self.gate.wait()
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if isinstance(answer, Exception):
            raise answer
        return answer

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Run the provider. The first fetch has ended."""
        task = asyncio.create_task(self.provider.run())
        try:
            await wait_until(lambda: self.fetches > 0)
            await turns()
            yield
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    async def find(self, kid: str | None, algorithm: str = "RS256") -> str:
        """Return what a request with this kid gets."""
        try:
            keys = await self.provider.find(kid, algorithm)
        except InvalidToken as error:
            return str(error) or "invalid"
        except Overloaded as error:
            return "overloaded" if error.reason is RefusalReason.IDENTITY else error.reason
        return ",".join(str(key.key_id) for key in keys)


async def turns(count: int = 5) -> None:
    """Let the event loop run everything that is ready."""
    for _ in range(count):
        await asyncio.sleep(0)


def run(body: Callable[[], Coroutine[Any, Any, None]]) -> None:
    asyncio.run(asyncio.wait_for(body(), DEADLINE))


# Fetching


def test_keys_are_fetched_at_the_start() -> None:
    async def body() -> None:
        setup = Setup(key_set(OLD))
        assert await setup.find("old") == "overloaded"
        assert setup.provider.trouble == "its keys have not been fetched yet"
        async with setup.running():
            assert await setup.find("old") == "old"
            assert setup.provider.trouble is None
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
        assert setup.provider.trouble == "it cannot be reached; keys fetched 86399 s ago are in use"
        setup.now += 1
        assert await setup.find("old") == "overloaded"
        assert setup.provider.trouble == "it cannot be reached"

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


# A kid that is not known


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
