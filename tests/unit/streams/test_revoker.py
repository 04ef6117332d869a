"""Revoking ends streams, and nothing that was revoked opens one."""

from __future__ import annotations

import json
from contextlib import ExitStack

import pytest

from sse_service.model.errors import Unavailable
from sse_service.model.principal import Principal
from sse_service.model.revocations import MAX_TOKENS_PER_USER, Revocation
from tests.unit.sinks import MemorySink
from tests.unit.task import NEVER, Task, wait_until


def token(number: int, user: str = "1", *, issued: float | None = None) -> Principal:
    return Principal(user, (), NEVER, issued, number.to_bytes(16))


def closed(sink: MemorySink) -> bool:
    """Whether the stream was told that it was revoked."""
    last = sink.messages[-1]
    return last.type == "stream.close" and json.loads(last.data) == {"reason": "revoked", "reconnect": False}


def test_revoking_a_user_ends_the_streams_of_that_user_and_counts_them() -> None:
    task, mine, theirs = Task(), [MemorySink(), MemorySink()], MemorySink()

    async def body() -> None:
        with ExitStack() as opened:
            streams = [opened.enter_context(task.open(sink)) for sink in mine]
            other = opened.enter_context(task.open(theirs, user="2"))
            await wait_until(lambda: all(stream.live for stream in (*streams, other)))
            assert await task.revoker.revoke_user("1") == 2
            assert await task.revoker.revoke_user("1") == 0
            assert [closed(sink) and sink.ended for sink in mine] == [True, True]
            assert other.live

    task.run(body)
    assert 'sse_streams_closed_total{reason="revoked"} 2.0' in task.metrics.render().decode()


def test_a_stream_opened_with_a_later_token_goes_on() -> None:
    task = Task()

    async def body() -> None:
        with (
            task.open(MemorySink(), issued=task.now) as old,
            task.open(MemorySink(), issued=task.now + 1) as new,
        ):
            assert await task.revoker.revoke_user("1") == 1
            assert (old.closed, new.closed) == (True, False)

    task.run(body)


def test_a_reader_that_takes_nothing_is_cut() -> None:
    task, sink = Task(), MemorySink()

    async def body() -> None:
        with task.open(sink) as stream:
            await wait_until(lambda: stream.live)
            sink.room = 1
            await task.publish("a", "b")
            assert stream.paused
            assert await task.revoker.revoke_user("1") == 1
            assert sink.aborted
            assert "b" not in sink.data

    task.run(body)


def test_revoking_a_token_ends_its_streams_alone() -> None:
    task = Task()

    async def body() -> None:
        with (
            task.open(MemorySink(), credential=token(1).credential) as mine,
            task.open(MemorySink(), credential=token(2).credential) as same_user,
        ):
            await task.revoker.revoke_tokens([token(1)])
            assert (mine.closed, same_user.closed) == (True, False)
        assert task.revocations.refuses(token(1))
        assert not task.revocations.refuses(token(2))

    task.run(body)


def test_a_stream_whose_credential_was_revoked_after_its_check_ends_at_once() -> None:
    task, sink = Task(), MemorySink()

    async def body() -> None:
        # The check of the request came before this, and the stream opens after it.
        await task.revoker.revoke_user("1")
        with task.open(sink) as stream:
            assert stream.closed
            assert closed(sink)
        await task.publish("secret")
        assert sink.types == ["stream.close"]

    task.run(body)
    assert len(task.streams) == 0


def test_with_too_many_revoked_tokens_all_tokens_of_the_user_are_revoked() -> None:
    task = Task()

    async def body() -> None:
        for number in range(MAX_TOKENS_PER_USER):
            await task.revoker.revoke_tokens([token(number)])
        # One that is revoked already adds nothing.
        await task.revoker.revoke_tokens([token(0)])
        assert not task.revocations.refuses(token(999))
        await task.revoker.revoke_tokens([token(MAX_TOKENS_PER_USER)])
        assert task.revocations.refuses(token(999))
        assert not task.revocations.refuses(token(999, issued=task.now + 1))
        assert not task.revocations.refuses(token(1, "2"))
        assert len(task.revocations) == MAX_TOKENS_PER_USER + 1
        # It holds as long as the token that it stands for.
        assert max(each.until for each in task.revocations.entries()) == NEVER

    task.run(body)


def test_sign_outs_whose_tokens_have_expired_do_not_count_against_the_users_other_devices() -> None:
    task = Task()

    async def body() -> None:
        later = int(task.now) + 900
        await task.revoker.revoke_tokens(
            [Principal("1", (), later, None, number.to_bytes(16)) for number in range(MAX_TOKENS_PER_USER)]
        )
        task.now = later
        await task.revoker.revoke_tokens([token(MAX_TOKENS_PER_USER)])
        assert task.revocations.refuses(token(MAX_TOKENS_PER_USER))
        assert not task.revocations.refuses(token(999))
        assert len(task.revocations) == 1

    task.run(body)


def test_a_credential_without_a_digest_revokes_the_user() -> None:
    task = Task()

    async def body() -> None:
        await task.revoker.revoke_tokens([Principal("1", (), NEVER)])
        assert task.revocations.refuses(token(1))

    task.run(body)


def test_without_the_store_it_holds_in_this_task(monkeypatch: pytest.MonkeyPatch) -> None:
    task = Task()

    async def away(_: object) -> None:
        raise Unavailable("away")

    monkeypatch.setattr(task.broker, "revoke", away)

    async def body() -> None:
        with task.open(MemorySink()) as stream:
            with pytest.raises(Unavailable):
                await task.revoker.revoke_user("1")
            assert stream.closed
        with pytest.raises(Unavailable):
            await task.revoker.revoke_tokens([token(1, "2"), token(2, "2")])
        assert task.revocations.refuses(token(1, "2"))
        assert task.revocations.refuses(token(2, "2"))

    task.run(body)


def test_a_revocation_of_another_task_ends_streams_here() -> None:
    task = Task()

    async def body() -> None:
        with task.open(MemorySink(), issued=5) as stream:
            await task.broker.revoke([Revocation.of_user("1", at=4, until=NEVER)])
            assert not stream.closed
            await task.broker.revoke([Revocation.of_user("1", at=5, until=NEVER)])
            assert stream.closed

    task.run(body)
