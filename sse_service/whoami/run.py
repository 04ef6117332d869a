"""Judges one token and writes the answer, line by line."""

from __future__ import annotations

import time
from functools import partial
from typing import TYPE_CHECKING

from sse_service.auth.providers.discovery import FetchRecord, fetch_keys
from sse_service.doctor.provider import ProviderAnswer
from sse_service.identity import providers_of, verifier_of
from sse_service.model.errors import InvalidSettings
from sse_service.model.text import printable
from sse_service.whoami.claimed import is_shared_secret, pasted, read, shown
from sse_service.whoami.facts import facts
from sse_service.whoami.hints import hints, hints_of_provider
from sse_service.whoami.judgement import Verdict, explained, judge

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from sse_service.auth.providers.provider import Provider
    from sse_service.settings.settings import Settings
    from sse_service.whoami.claimed import Claimed
    from sse_service.whoami.judgement import Judgement

NOT_REVOKED = "revoked     not looked at: `serve` refuses the token all the same if it, or its user, was revoked"


async def whoami(text: str, settings: Settings, *, write: Callable[[str], None]) -> bool:
    """Write how the token would be judged, and return whether it would be accepted.

    Raises InvalidSettings if the settings allow no tokens.
    """
    token = pasted(text)
    claimed = read(token)
    record = FetchRecord()
    # The record is of one provider: no other one is asked.
    providers = providers_of(settings, fetch=partial(fetch_keys, record=record))
    verifier = verifier_of(settings, providers)
    if verifier is None:
        raise InvalidSettings(
            "SSE_JWT_SECRET, SSE_OIDC_ISSUERS, SSE_JWKS_URL: one of them must be set, or no token is accepted"
        )
    answer = await _ask(claimed, providers, record)
    judgement = await judge(verifier, token)
    if answer is not None:
        judgement = explained(judgement, claimed, answer)
    now = time.time()
    write(printable(_first_line(judgement)))
    for line in facts(claimed, judgement, settings, now=now):
        write(line)
    found = hints(claimed, judgement, settings, size=len(token), now=now)
    if answer is not None and judgement.principal is None:
        found += hints_of_provider(claimed, answer)
    for hint in found:
        write(f"hint        {hint}")
    if judgement.principal is not None:
        write(NOT_REVOKED)
    return judgement.verdict is Verdict.ACCEPTED


async def _ask(claimed: Claimed, providers: Sequence[Provider], record: FetchRecord) -> ProviderAnswer | None:
    """Let the provider that the token names fetch its keys, if there is one. No other provider is needed."""
    if is_shared_secret(claimed):
        return None
    for provider in providers:
        if provider.issuer == claimed.claims.get("iss"):
            await provider.refresh()
            return ProviderAnswer(record, provider.keys, provider.trouble or "")
    return None


def _first_line(judgement: Judgement) -> str:
    if judgement.principal is None:
        return f"{judgement.verdict.value}: {judgement.why}"
    groups = judgement.principal.groups
    said = f"groups {shown(list(groups))}" if groups else "no groups"
    return f"{judgement.verdict.value}: user {shown(judgement.principal.user)}, {said}"
