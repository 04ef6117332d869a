"""Judges one token and writes the answer, line by line."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from sse_service.identity import identity_of
from sse_service.model.errors import InvalidSettings
from sse_service.whoami.claimed import pasted, read, shown
from sse_service.whoami.facts import facts
from sse_service.whoami.hints import hints
from sse_service.whoami.judgement import Verdict, judge

if TYPE_CHECKING:
    from collections.abc import Callable

    from sse_service.settings.settings import Settings
    from sse_service.whoami.judgement import Judgement

NO_REVOCATIONS = "revocations are not looked at: `serve` may refuse this token because it, or its user, was revoked"


async def whoami(text: str, settings: Settings, *, write: Callable[[str], None]) -> bool:
    """Write how the token would be judged, and return whether it would be accepted.

    Raises InvalidSettings if the settings allow no tokens.
    """
    identity = identity_of(settings)
    if identity.verifier is None:
        raise InvalidSettings(
            "SSE_JWT_SECRET, SSE_OIDC_ISSUERS, SSE_JWKS_URL: one of them must be set, or no token is accepted"
        )
    token = pasted(text)
    judgement = await judge(identity.verifier, token)
    claimed, now = read(token), time.time()
    write(_first_line(judgement))
    for line in facts(claimed, judgement, settings, now=now):
        write(line)
    for hint in hints(claimed, judgement, settings, size=len(token), now=now):
        write(f"hint        {hint}")
    if judgement.principal is not None:
        write(NO_REVOCATIONS)
    return judgement.verdict is Verdict.ACCEPTED


def _first_line(judgement: Judgement) -> str:
    if judgement.principal is None:
        return f"{judgement.verdict.value}: {judgement.why}"
    groups = judgement.principal.groups
    said = f", groups {shown(list(groups))}" if groups else ", no groups"
    return f"{judgement.verdict.value}: user {shown(judgement.principal.user)}{said}"
