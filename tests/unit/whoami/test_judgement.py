"""What a verifier's answer means."""

from __future__ import annotations

import asyncio

import pytest

from sse_service.model.errors import Forbidden, InvalidClaim, InvalidToken, Overloaded
from sse_service.model.principal import Principal
from sse_service.model.reasons import RefusalReason
from sse_service.whoami.judgement import Judgement, Verdict, judge

USER = Principal("42", (), 1)


class Answering:
    """A verifier that gives the same answer for each token."""

    def __init__(self, answer: Principal | Exception) -> None:
        self._answer = answer

    async def verify(self, token: str) -> Principal:
        assert token
        if isinstance(self._answer, Exception):
            raise self._answer
        return self._answer


@pytest.mark.parametrize(
    ("answer", "judgement"),
    [
        (USER, Judgement(Verdict.ACCEPTED, principal=USER, verified=True)),
        (InvalidClaim("expired"), Judgement(Verdict.REFUSED, "expired", verified=True)),
        (Forbidden("too many groups"), Judgement(Verdict.REFUSED, "too many groups", verified=True)),
        (InvalidToken(internal_reason="malformed"), Judgement(Verdict.REFUSED, "malformed")),
        (Overloaded(RefusalReason.IDENTITY), Judgement(Verdict.UNDECIDED, "the keys of its issuer are not available")),
    ],
)
def test_each_answer_has_its_verdict(answer: Principal | Exception, judgement: Judgement) -> None:
    assert asyncio.run(judge(Answering(answer), "token")) == judgement


def test_a_text_for_the_client_does_not_say_that_the_signature_is_good() -> None:
    assert not asyncio.run(judge(Answering(InvalidToken("two tokens")), "token")).verified
