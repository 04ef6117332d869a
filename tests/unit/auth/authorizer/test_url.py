"""Asking one's own back end: who shares an answer, and how the request is made."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from starlette.requests import HTTPConnection

from sse_service.auth.authorizer.callable import CallableAuthorizer
from sse_service.auth.authorizer.url import URLAuthorizer
from sse_service.model.errors import Forbidden, InvalidToken, Overloaded
from sse_service.model.principal import Principal
from sse_service.telemetry.metrics import Metrics
from tests.unit.auth.authorizer.parts import ANSWER, Gate, backend, cookie, request, run, running
from tests.unit.task import wait_until


def test_requests_with_one_credential_share_a_call_and_its_answer() -> None:
    async def body() -> None:
        gate, metrics = Gate(), Metrics()
        async with backend(gate) as url:
            authorizer = URLAuthorizer(url, metrics=metrics)
            async with running(authorizer):
                waiting = [asyncio.create_task(authorizer.authenticate(cookie())) for _ in range(10)]
                await wait_until(lambda: gate.asked == 1)
                waiting[0].cancel()
                gate.open.set()
                results = await asyncio.gather(*waiting, return_exceptions=True)
                assert isinstance(results[0], asyncio.CancelledError)
                assert len({id(each) for each in results[1:]}) == 1
                assert await authorizer.authenticate(cookie()) is results[1]
                assert gate.asked == 1
                assert await authorizer.authenticate(cookie("s=2")) is not results[1]
                assert gate.asked == 2

    run(body)


@pytest.mark.parametrize(("status", "error"), [(401, InvalidToken), (403, Forbidden), (500, Overloaded)])
def test_a_refusal_is_shared_while_it_is_under_way_and_each_request_gets_its_own(
    status: int, error: type[Exception]
) -> None:
    async def body() -> None:
        gate = Gate(status)
        async with backend(gate) as url:
            authorizer = URLAuthorizer(url, metrics=Metrics())
            async with running(authorizer):
                waiting = [asyncio.create_task(authorizer.authenticate(cookie())) for _ in range(10)]
                await wait_until(lambda: gate.asked == 1)
                gate.open.set()
                results = await asyncio.gather(*waiting, return_exceptions=True)
                assert {type(each) for each in results} == {error}
                assert len({id(each) for each in results}) == 10
                assert gate.asked == 1
                with pytest.raises(error):
                    await authorizer.authenticate(cookie())
                assert gate.asked == 2

    run(body)


def test_an_answer_that_is_no_longer_good_is_asked_for_again() -> None:
    revoked_at = 0.0

    def still_good(principal: Principal) -> bool:
        return principal.issued is not None and principal.issued > revoked_at

    async def body() -> None:
        nonlocal revoked_at
        gate = Gate()
        gate.open.set()
        async with backend(gate) as url:
            authorizer = URLAuthorizer(url, metrics=Metrics(), still_good=still_good)
            async with running(authorizer):
                first = await authorizer.authenticate(cookie())
                assert first is not None
                assert first.issued is not None
                revoked_at = first.issued
                second = await authorizer.authenticate(cookie())
                assert second is not None
                assert second.issued is not None
                assert second.issued > first.issued
                assert gate.asked == 2
                # The back end refuses the user by now: what was remembered is gone, also if the revocation is.
                revoked_at, gate.status = second.issued, 401
                with pytest.raises(InvalidToken):
                    await authorizer.authenticate(cookie())
                revoked_at = 0.0
                with pytest.raises(InvalidToken):
                    await authorizer.authenticate(cookie())

    run(body)


def test_a_user_who_is_revoked_while_the_call_is_under_way_is_asked_about_again() -> None:
    good = iter([False, True])

    async def body() -> None:
        gate = Gate()
        gate.open.set()
        async with backend(gate) as url:
            authorizer = URLAuthorizer(url, metrics=Metrics(), still_good=lambda _: next(good))
            async with running(authorizer):
                assert await authorizer.authenticate(cookie()) is not None
                assert gate.asked == 2

    run(body)


def test_a_user_whom_a_new_answer_cannot_clear_is_told_to_come_back() -> None:
    async def authorize(_: HTTPConnection) -> dict[str, Any]:
        return ANSWER

    async def body() -> None:
        gate = Gate()
        gate.open.set()
        async with backend(gate) as url:
            authorizer = URLAuthorizer(url, metrics=Metrics(), still_good=lambda _: False)
            async with running(authorizer):
                with pytest.raises(Overloaded):
                    await authorizer.authenticate(cookie())
                assert gate.asked == 2
        code = CallableAuthorizer(authorize, metrics=Metrics(), still_good=lambda _: False)
        with pytest.raises(Overloaded):
            await code.authenticate(cookie())

    run(body)


def test_nobody_can_be_identified_before_it_runs_and_after_it_ended() -> None:
    async def body() -> None:
        gate = Gate()
        async with backend(gate) as url:
            authorizer = URLAuthorizer(url, metrics=Metrics())
            with pytest.raises(Overloaded):
                await authorizer.authenticate(cookie())
            async with running(authorizer):
                waiting = asyncio.create_task(authorizer.authenticate(cookie()))
                await wait_until(lambda: gate.asked == 1)
            with pytest.raises(Overloaded):
                await waiting
            with pytest.raises(Overloaded):
                await authorizer.authenticate(cookie())
            assert await authorizer.authenticate(request()) is None
            gate.open.set()

    run(body)
