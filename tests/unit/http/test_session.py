"""Ending a session revokes its tokens, and no request to ``/session`` costs much at once."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

import jwt
import pytest
from starlette.requests import Request
from starlette.responses import Response

from sse_service.auth.tokens.hs256 import HS256Verifier
from sse_service.auth.tokens.signing import TokenSigner
from sse_service.http.pacer import PER_TURN
from sse_service.http.session import MAX_REVOKED_TOKENS, MAX_TRIED_TOKENS, Session
from sse_service.model.errors import Overloaded
from sse_service.model.principal import Principal
from sse_service.model.reasons import RefusalReason
from tests.unit.sinks import MemorySink
from tests.unit.task import Task

SECRET = "s" * 32
SIGNER = TokenSigner(secret=SECRET)


class Keys:
    """A verifier whose keys may be away. It counts what it is asked."""

    def __init__(self) -> None:
        self.away = False
        self.tried: list[str] = []
        self._verifier = HS256Verifier(secrets=[SECRET])

    async def verify(self, token: str) -> Principal:
        self.tried.append(token)
        if self.away:
            raise Overloaded(RefusalReason.IDENTITY)
        return await self._verifier.verify(token)


class Sessions:
    """A task with its sessions."""

    def __init__(self) -> None:
        self.task = Task()
        # Tokens expire by the real clock.
        self.task.now = time.time()
        self.keys = Keys()
        self.session = Session(
            verifier=self.keys,
            revocations=self.task.revocations,
            revoker=self.task.revoker,
            allowed_origins=(),
            cookie_name="s",
            same_site="lax",
            domain=None,
            secure=True,
        )

    async def delete(self, *cookies: str) -> Response:
        return await self.session.delete(request("DELETE", ("cookie", "; ".join(f"s={each}" for each in cookies))))

    async def create(self, token: str) -> Response:
        return await self.session.create(request("POST", ("authorization", f"Bearer {token}")))

    async def is_revoked(self, token: str) -> bool:
        return self.task.revocations.refuses(await HS256Verifier(secrets=[SECRET]).verify(token))


def request(method: str, *headers: tuple[str, str]) -> Request:
    raw = [(name.encode(), value.encode("latin-1")) for name, value in (("host", "push.example.com"), *headers)]
    return Request({"type": "http", "method": method, "scheme": "https", "path": "/session", "headers": raw})


def forged(number: int = 0) -> str:
    """Make a token that only its signature tells from a good one."""
    return jwt.encode({"sub": "1", "n": number, "exp": 2**31}, "x" * 32, algorithm="HS256")


def with_another_signature(token: str) -> str:
    return token.rpartition(".")[0] + "." + forged().rpartition(".")[2]


def test_a_token_of_an_open_stream_is_revoked_while_its_keys_are_away() -> None:
    sessions = Sessions()

    async def body() -> None:
        token, other = SIGNER.sign("1"), SIGNER.sign("1")
        with (
            sessions.task.open_as(MemorySink(), await sessions.keys.verify(token)) as mine,
            sessions.task.open_as(MemorySink(), await sessions.keys.verify(other)) as same_user,
        ):
            sessions.keys.away = True
            answer = await sessions.delete(token)
            assert answer.status_code == 204
            assert "Max-Age=0" in answer.headers["set-cookie"]
            assert (mine.closed, same_user.closed) == (True, False)
        assert await sessions.is_revoked(token)
        assert not await sessions.is_revoked(other)

    sessions.task.run(body)


def test_the_other_stream_of_a_token_is_found_when_one_has_ended() -> None:
    sessions = Sessions()

    async def body() -> None:
        token = SIGNER.sign("1")
        principal = await sessions.keys.verify(token)
        with sessions.task.open_as(MemorySink(), principal) as other:
            with sessions.task.open_as(MemorySink(), principal):
                pass
            sessions.keys.away = True
            assert (await sessions.delete(token)).status_code == 204
            assert other.closed
        # The streams have left nothing behind.
        assert (await sessions.delete(token)).status_code == 503

    sessions.task.run(body)


def test_what_a_token_says_ends_no_stream_without_its_signature() -> None:
    sessions = Sessions()

    async def body() -> None:
        token = SIGNER.sign("1")
        with sessions.task.open_as(MemorySink(), await sessions.keys.verify(token)) as stream:
            for away, status in ((True, 503), (False, 204)):
                sessions.keys.away = away
                assert (await sessions.delete(with_another_signature(token))).status_code == status
                assert not stream.closed

    sessions.task.run(body)


def test_a_token_that_cannot_be_judged_loses_its_cookie_and_a_later_try_revokes_it() -> None:
    sessions = Sessions()

    async def body() -> None:
        token = SIGNER.sign("1")
        sessions.keys.away = True
        refused = await sessions.delete(token)
        assert refused.status_code == 503
        assert int(refused.headers["retry-after"]) > 0
        assert "Max-Age=0" in refused.headers["set-cookie"]
        assert b"try again" in bytes(refused.body)
        sessions.keys.away = False
        answer = await sessions.delete(token)
        assert answer.status_code == 204
        assert "Max-Age=0" in answer.headers["set-cookie"]
        assert await sessions.is_revoked(token)

    sessions.task.run(body)


def test_after_a_token_that_cannot_be_judged_no_other_is_tried() -> None:
    sessions = Sessions()

    async def body() -> None:
        sessions.keys.away = True
        assert (await sessions.delete(*map(forged, range(10)))).status_code == 503
        assert len(sessions.keys.tried) == 1

    sessions.task.run(body)


@pytest.mark.parametrize("junk", [[forged(number) for number in range(40)], [f"j.{n}.k" for n in range(900)]])
def test_forged_cookies_do_not_keep_a_good_one_from_being_revoked(junk: list[str]) -> None:
    sessions = Sessions()

    async def body() -> None:
        token = SIGNER.sign("1")
        answer = await sessions.delete(*junk, token)
        assert answer.status_code == 204
        assert await sessions.is_revoked(token)

    sessions.task.run(body)


def test_only_what_has_the_form_of_a_token_is_verified() -> None:
    sessions = Sessions()

    async def body() -> None:
        assert (await sessions.delete("x", "a.b", "a..c", ".", "..", "a.b.c.d", "a.b.c.d.e")).status_code == 204
        assert sessions.keys.tried == []

    sessions.task.run(body)


def test_the_verifications_and_the_revocations_of_one_request_are_limited() -> None:
    sessions = Sessions()

    async def body() -> None:
        await sessions.delete(*map(forged, range(MAX_TRIED_TOKENS + 10)))
        assert len(sessions.keys.tried) == MAX_TRIED_TOKENS
        good = [SIGNER.sign("1") for _ in range(MAX_REVOKED_TOKENS + 5)]
        await sessions.delete(*good)
        assert [await sessions.is_revoked(token) for token in good].count(True) == MAX_REVOKED_TOKENS

    sessions.task.run(body)


@pytest.mark.parametrize(
    "send",
    [
        lambda sessions, number: sessions.create(forged(number)),
        lambda sessions, _: sessions.delete(forged(1), forged(2)),
    ],
    ids=["POST", "DELETE"],
)
def test_a_crowd_causes_a_few_verifications_in_each_turn_of_the_loop(
    send: Callable[[Sessions, int], asyncio.Future[Response]],
) -> None:
    sessions = Sessions()

    async def body() -> None:
        crowd = [asyncio.ensure_future(send(sessions, number)) for number in range(5 * PER_TURN)]
        seen = 0
        while not all(each.done() for each in crowd):
            await asyncio.sleep(0)
            assert len(sessions.keys.tried) - seen <= PER_TURN
            seen = len(sessions.keys.tried)
        assert seen >= len(crowd)
        await asyncio.gather(*crowd)

    sessions.task.run(body)
