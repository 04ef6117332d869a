"""Asks the verifier, and keeps its answer."""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import Enum
from typing import TYPE_CHECKING

from sse_service.model.errors import Forbidden, InvalidClaim, InvalidToken, Overloaded
from sse_service.whoami.claimed import shown

if TYPE_CHECKING:
    from sse_service.auth.tokens.verifier import TokenVerifier
    from sse_service.doctor.provider import ProviderAnswer
    from sse_service.model.principal import Principal
    from sse_service.whoami.claimed import Claimed


class Verdict(Enum):
    """How a token was judged. The value is printed."""

    ACCEPTED = "accepted"
    REFUSED = "refused"
    UNDECIDED = "cannot be decided now"


@dataclass(frozen=True, slots=True)
class Judgement:
    """The answer of a verifier."""

    verdict: Verdict
    why: str = ""
    """Why the token was not accepted."""
    principal: Principal | None = None
    """Whose token it is, if it was accepted."""
    verified: bool = False
    """Whether the signature is good."""


async def judge(verifier: TokenVerifier, token: str) -> Judgement:
    """Judge a token as ``serve`` does."""
    try:
        principal = await verifier.verify(token)
    except InvalidToken as error:
        return Judgement(Verdict.REFUSED, error.internal_reason, verified=isinstance(error, InvalidClaim))
    except Forbidden as error:
        return Judgement(Verdict.REFUSED, str(error), verified=True)
    except Overloaded:
        return Judgement(Verdict.UNDECIDED, "the keys of its issuer are not available")
    return Judgement(Verdict.ACCEPTED, principal=principal, verified=True)


def explained(judgement: Judgement, token: Claimed, answer: ProviderAnswer) -> Judgement:
    """Say why the verifier did not decide. ``answer`` is that of the token's provider.

    The verifier waits for a new fetch if the token names an unknown key. Here the keys were fetched a moment ago.
    """
    if judgement.verdict is not Verdict.UNDECIDED:
        return judgement
    if answer.keys is None:
        why = f"the keys of its issuer cannot be fetched: {answer.problem} ({answer.record.url})"
        return replace(judgement, why=why)
    kid = token.header.get("kid")
    key = f"for {shown(token.header.get('alg'))}" if kid is None else f"with the id {shown(kid)}"
    return Judgement(Verdict.REFUSED, f"its issuer has no key {key}")
