"""``provider``: the identity providers, their keys and their clocks."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING

from sse_service.auth.outbound.fetch import FetchError
from sse_service.auth.providers.discovery import FetchRecord, fetch_keys
from sse_service.doctor.clock import clock_skew
from sse_service.doctor.report import Finding, fail, ok, warn
from sse_service.identity import keys_urls_of

if TYPE_CHECKING:
    from collections.abc import Collection

    from sse_service.auth.providers.key_set import KeySet
    from sse_service.settings.settings import Settings

MAX_SKEW_SECONDS = 30
"""A larger skew gets a warning: tokens that live for five minutes expire too early, or ``nbf`` refuses new ones."""


@dataclass(frozen=True, slots=True)
class ProviderAnswer:
    """What a provider answered when it was asked for its keys."""

    record: FetchRecord
    keys: KeySet | None = None
    """None if there are none to use."""
    problem: str = ""
    """Why there are none. It contains no addresses."""

    @property
    def skew(self) -> float | None:
        """How many seconds the local clock is ahead of the provider's; None if no answer has a date."""
        dated = self.record.dated
        return None if dated is None else clock_skew(dated.date, sent=dated.sent, received=dated.received)


async def ask_provider(*, issuer: str, keys_url: str | None, algorithms: Collection[str]) -> ProviderAnswer:
    """Ask a provider for its keys, as `serve` does."""
    record = FetchRecord()
    try:
        fetched = await fetch_keys(issuer=issuer, keys_url=keys_url, algorithms=algorithms, record=record)
    except FetchError as error:
        return ProviderAnswer(record, problem=error.cause)
    return ProviderAnswer(record, fetched.keys)


async def check_providers(settings: Settings) -> list[Finding]:
    """Ask the identity providers of the settings, and check their answers."""
    urls = keys_urls_of(settings)
    asked = (ask_provider(issuer=each, keys_url=urls[each], algorithms=settings.jwt_algorithms) for each in urls)
    answers = zip(urls, await asyncio.gather(*asked), strict=True)
    return [finding for issuer, answer in answers for finding in check_provider(issuer, answer, settings)]


def check_provider(issuer: str, answer: ProviderAnswer, settings: Settings) -> list[Finding]:
    """Check the answer of one provider."""
    if answer.keys is None:
        return [_explain(issuer, answer)]
    found = []
    if answer.skew is not None and abs(answer.skew) > MAX_SKEW_SECONDS:
        side = "ahead of" if answer.skew > 0 else "behind"
        text = f"{issuer}: this machine's clock is {abs(answer.skew):.0f} s {side} the provider's"
        found.append(warn("provider", f"{text}: tokens are refused too early or too late", "synchronize it with NTP"))
    counts = {name: len(answer.keys.for_algorithm(name)) for name in settings.jwt_algorithms}
    usable = ", ".join(f"{count} for {name}" for name, count in counts.items() if count)
    audience = ", ".join(settings.jwt_audience)
    keys = f"{answer.keys.count} usable {'key' if answer.keys.count == 1 else 'keys'}"
    return [*found, ok("provider", f"{issuer}: {keys} ({usable}); audience {audience}")]


def _explain(issuer: str, answer: ProviderAnswer) -> Finding:
    url = answer.record.url
    if answer.record.of_keys:
        fix = f"get {url} from here, and compare it with SSE_JWT_ALGORITHMS"
        return fail("provider", f"{issuer}: no keys ({answer.problem})", fix)
    fix = (
        f"get {url} from here: SSE_OIDC_ISSUERS must be its `issuer` to the letter. Without a way out, give the subnet "
        "a NAT gateway, or set HTTPS_PROXY. For a provider without discovery, set SSE_JWKS_URL"
    )
    return fail("provider", f"{issuer}: no discovery document ({answer.problem})", fix)
