"""How many answers of an authorizer are remembered, how many calls run, and what happens if one fails."""

from __future__ import annotations

import asyncio
import logging

import orjson
import pytest

from sse_service.auth.authorizer.answer import AuthorizerFailure
from sse_service.auth.authorizer.calls import MAX_WAITING, PLACES, TROUBLE_SECONDS, AuthorizerCalls
from sse_service.auth.authorizer.memory import MAX_ANSWERS, MAX_BYTES, REMEMBER_SECONDS, AuthorizerMemory
from sse_service.model.errors import Forbidden, InvalidToken, Overloaded
from sse_service.model.principal import Principal
from sse_service.model.reasons import RefusalReason
from sse_service.telemetry.metrics import Metrics
from tests.unit.auth.authorizer.parts import PRINCIPAL, run
from tests.unit.task import wait_until

# The memory


def test_an_answer_is_remembered_as_long_as_it_says_and_at_most_a_minute() -> None:
    now = 0.0
    memory = AuthorizerMemory(clock=lambda: now)
    memory.put(b"short", PRINCIPAL, seconds=5)
    memory.put(b"long", PRINCIPAL, seconds=900)
    assert memory.get(b"short") is memory.get(b"long") is PRINCIPAL
    now = 5.0
    assert memory.get(b"short") is None
    now = REMEMBER_SECONDS - 0.001
    assert memory.get(b"long") is PRINCIPAL
    now = REMEMBER_SECONDS
    assert memory.get(b"long") is None


def test_the_oldest_answers_go_if_there_are_too_many() -> None:
    memory = AuthorizerMemory(clock=lambda: 0.0)
    for number in range(MAX_ANSWERS + 1):
        memory.put(b"%d" % number, PRINCIPAL, seconds=60)
    assert memory.get(b"0") is None
    assert memory.get(b"1") is memory.get(b"%d" % MAX_ANSWERS) is PRINCIPAL


def test_the_oldest_answers_go_if_they_are_too_large() -> None:
    memory = AuthorizerMemory(clock=lambda: 0.0)
    large = Principal("u" * 65_536, (), 1900)
    for number in range(MAX_BYTES // 65_536 + 1):
        memory.put(b"%d" % number, large, seconds=60)
    assert memory.get(b"0") is None
    assert memory.get(b"%d" % (MAX_BYTES // 65_536)) is large


def test_an_answer_that_has_expired_takes_no_room() -> None:
    memory = AuthorizerMemory(clock=lambda: 0.0)
    memory.put(b"expired", PRINCIPAL, seconds=-1)
    assert memory.get(b"expired") is None
    memory.put(b"next", PRINCIPAL, seconds=60)
    assert memory.get(b"next") is PRINCIPAL


def test_a_text_that_grows_when_it_is_sent_leaves_the_limit_as_it_is() -> None:
    memory = AuthorizerMemory(clock=lambda: 0.0)
    for number in range(100):
        sent = Principal("é" * 65_536 + str(number), (), 1900)
        memory.put(b"sent", sent, seconds=60)
        # Python keeps the UTF-8 form beside the text from now on.
        orjson.dumps(sent.user)
        memory.forget(b"sent")
    large = Principal("u" * 65_536, (), 1900)
    for number in range(MAX_BYTES // 65_536 + 1):
        memory.put(b"%d" % number, large, seconds=60)
    assert memory.get(b"0") is None


# The calls


class Calls:
    """Calls whose clock and outcomes the test decides."""

    def __init__(self) -> None:
        self.now = 0.0
        self.metrics = Metrics()
        self.calls = AuthorizerCalls(metrics=self.metrics, clock=lambda: self.now)

    async def ask(self, outcome: Principal | Exception) -> Exception | None:
        """Make a call with this outcome, and return what the caller gets."""

        async def answer() -> Principal:
            if isinstance(outcome, Exception):
                raise outcome
            return outcome

        try:
            await self.calls.run(answer)
        except Exception as error:
            return error
        return None


def test_a_failure_is_trouble_until_the_next_answer_or_for_half_a_minute() -> None:
    async def body() -> None:
        calls = Calls()
        failure = AuthorizerFailure("answered 500")
        assert calls.calls.trouble is None
        error = await calls.ask(failure)
        assert isinstance(error, Overloaded)
        assert error.reason is RefusalReason.IDENTITY
        assert calls.calls.trouble == "it answered 500"
        for answer in (PRINCIPAL, InvalidToken("x"), Forbidden("x")):
            await calls.ask(failure)
            assert await calls.ask(answer) is (None if answer is PRINCIPAL else answer)
            assert calls.calls.trouble is None
        await calls.ask(failure)
        calls.now += TROUBLE_SECONDS
        assert calls.calls.trouble is not None
        calls.now += 1
        assert calls.calls.trouble is None

    run(body)


def test_a_line_is_logged_once_for_each_change_and_not_twice_within_half_a_minute(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def body() -> None:
        calls = Calls()
        one, other = AuthorizerFailure("answered 500", "see there"), AuthorizerFailure("answered 302")
        for _ in range(3):
            for outcome in (one, one, other, one, PRINCIPAL):
                await calls.ask(outcome)
        calls.now += 3600
        await calls.ask(one)
        calls.now += 3600
        await calls.ask(one)
        await calls.ask(PRINCIPAL)

    with caplog.at_level(logging.INFO):
        run(body)
    assert [each.getMessage() for each in caplog.records] == [
        "the authorizer answered 500: see there",
        "the authorizer answered 302",
        "the authorizer answers again, after 0.0 s",
        "the authorizer answered 500: see there",
        "the authorizer answers again, after 3600.0 s",
    ]


def test_the_fault_of_one_request_is_logged_once_and_is_no_trouble(caplog: pytest.LogCaptureFixture) -> None:
    async def body() -> None:
        calls = Calls()
        failure = AuthorizerFailure("answered 431 to a request", "see there", of_request=True)
        for _ in range(3):
            error = await calls.ask(failure)
            assert isinstance(error, Overloaded)
            assert error.reason is RefusalReason.IDENTITY
            assert calls.calls.trouble is None
            await calls.ask(PRINCIPAL)
        assert calls.metrics.registry.get_sample_value("sse_authorizer_answers_total", {"answer": "failed"}) == 3

    with caplog.at_level(logging.INFO):
        run(body)
    assert [each.getMessage() for each in caplog.records] == ["the authorizer answered 431 to a request: see there"]


def test_the_fault_of_one_request_neither_hides_nor_ends_an_outage(caplog: pytest.LogCaptureFixture) -> None:
    async def body() -> None:
        calls = Calls()
        await calls.ask(AuthorizerFailure("answered 500"))
        await calls.ask(AuthorizerFailure("answered 431 to a request", of_request=True))
        assert calls.calls.trouble == "it answered 500"
        calls.now += 5
        await calls.ask(PRINCIPAL)

    with caplog.at_level(logging.INFO):
        run(body)
    assert caplog.messages[-1] == "the authorizer answers again, after 5.0 s"


def test_what_an_exception_says_is_not_logged(caplog: pytest.LogCaptureFixture) -> None:
    async def body() -> None:
        calls = Calls()
        assert isinstance(await calls.ask(RuntimeError("s=marked-cookie")), Overloaded)
        assert calls.calls.trouble == "it failed with RuntimeError"

    run(body)
    assert "the authorizer failed with RuntimeError" in caplog.text
    assert "marked-cookie" not in caplog.text


def test_at_most_64_calls_run_and_those_that_wait_are_limited_too() -> None:
    async def body() -> None:
        metrics = Metrics()
        calls, gate, asked = AuthorizerCalls(metrics=metrics), asyncio.Event(), 0

        async def ask() -> Principal:
            nonlocal asked
            asked += 1
            await gate.wait()
            return PRINCIPAL

        tasks = [asyncio.create_task(calls.run(ask)) for _ in range(PLACES + MAX_WAITING)]
        await wait_until(lambda: asked == PLACES)
        with pytest.raises(Overloaded):
            await calls.run(ask)
        assert asked == PLACES
        assert calls.trouble is not None
        assert "too slow" in calls.trouble
        for task in tasks[:100]:
            task.cancel()
        gate.set()
        results = await asyncio.gather(*tasks, return_exceptions=True)
        assert results.count(PRINCIPAL) == PLACES + MAX_WAITING - 100
        assert await calls.run(ask) == PRINCIPAL

    run(body)


def test_a_call_without_an_answer_ends_by_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sse_service.auth.authorizer.calls.SECONDS", 0.01)

    async def body() -> None:
        calls = AuthorizerCalls(metrics=Metrics())

        async def ask() -> Principal:
            await asyncio.Event().wait()
            raise AssertionError

        # Those that wait for a place have the same time.
        results = await asyncio.gather(*(calls.run(ask) for _ in range(PLACES + 1)), return_exceptions=True)
        assert {type(each) for each in results} == {Overloaded}
        assert calls.trouble == "it did not answer within 0 s"

    run(body)
