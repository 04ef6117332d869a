"""``provider``: the identity providers, their keys and their clocks."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import orjson

from sse_service.auth.outbound.fetch import FetchError, fetch
from sse_service.auth.providers.discovery import discovery_url, keys_url_of
from sse_service.auth.providers.key_set import KeySet, read_keys
from sse_service.doctor.clock import clock_skew
from sse_service.doctor.report import Finding, fail, ok, warn
from sse_service.identity import keys_urls_of

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from sse_service.settings.settings import Settings

MAX_SKEW_SECONDS = 30
"""A larger skew gets a warning: tokens that live for five minutes expire too early, or ``nbf`` refuses new ones."""


@dataclass(slots=True, kw_only=True)
class ProviderAnswer:
    """What a provider answered when it was asked for its keys."""

    url: str
    """What was asked last: the URL of the discovery document, or of the keys."""
    keys_url: str | None
    """The URL of the keys, if it is known."""
    keys: KeySet | None = None
    """None if there are none to use."""
    max_age: int | None = None
    """For how long the provider wants the keys to be kept."""
    problem: str = ""
    """Why there are no keys to use. It contains no addresses."""
    skew: float | None = None
    """How many seconds the local clock is ahead of the provider's; None until an answer has a date."""

    async def ask(self) -> Mapping[str, Any]:
        """Fetch what ``url`` names. Raises ValueError and FetchError."""
        sent = time.time()
        document = await fetch(self.url, accept="application/json")
        if document.date:
            self.skew = clock_skew(document.date, sent=sent, received=time.time())
        self.max_age = document.max_age
        try:
            found = orjson.loads(document.body)
        except orjson.JSONDecodeError:
            found = None
        if not isinstance(found, dict):
            raise ValueError("its answer is not a JSON object")
        return found


async def ask_provider(*, issuer: str, keys_url: str | None, algorithms: Collection[str]) -> ProviderAnswer:
    """Ask a provider for its keys, as ``fetch_keys`` does, and keep what happened on the way."""
    answer = ProviderAnswer(url=keys_url or discovery_url(issuer), keys_url=keys_url)
    try:
        if keys_url is None:
            answer.url = answer.keys_url = keys_url_of(await answer.ask(), issuer=issuer)
        answer.keys = read_keys(await answer.ask(), algorithms=algorithms)
    except FetchError as error:
        answer.problem = error.cause
    except ValueError as error:
        answer.problem = str(error)
    return answer


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
    if answer.keys_url is None:
        fix = (
            f"get {answer.url} from here: SSE_OIDC_ISSUERS must be its `issuer` to the letter. Without a way out, give "
            "the subnet a NAT gateway, or set HTTPS_PROXY. For a provider without discovery, set SSE_JWKS_URL"
        )
        return fail("provider", f"{issuer}: no discovery document ({answer.problem})", fix)
    fix = f"get {answer.keys_url} from here, and compare it with SSE_JWT_ALGORITHMS"
    return fail("provider", f"{issuer}: no keys ({answer.problem})", fix)
