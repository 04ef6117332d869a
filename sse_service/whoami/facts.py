"""The lines below the judgement: what the token says, and what follows from it."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

from sse_service.whoami.claimed import is_shared_secret, shown

if TYPE_CHECKING:
    from sse_service.settings.settings import Settings
    from sse_service.whoami.claimed import Claimed
    from sse_service.whoami.judgement import Judgement

JITTER = 0.8
"""The shortest part of ``SSE_STREAM_MAX_AGE_SECONDS`` that a stream gets."""

_UNITS = ((48 * 3600, 86_400, "days"), (7200, 3600, "h"), (120, 60, "min"), (0, 1, "s"))


def facts(token: Claimed, judgement: Judgement, settings: Settings, *, now: float) -> list[str]:
    """Return the lines. Of a token that cannot be read there are none."""
    if not token.header:
        return []
    found = [("judged by", _judged_by(token, settings)), ("signature", _signature(judgement))]
    found += [("algorithm", shown(token.header.get("alg"))), ("key id", shown(token.header.get("kid")))]
    found += [("issuer", _issuer(token, judgement)), _audience(token)]
    if judgement.principal is None and settings.user_claim in token.claims:
        found.append(("user", f"{shown(token.claims.get(settings.user_claim))} ({settings.user_claim})"))
    found += [("issued", moment(token.claims.get("iat"), now)), ("expires", moment(token.claims.get("exp"), now))]
    if "nbf" in token.claims:
        found.append(("not before", moment(token.claims["nbf"], now)))
    if judgement.principal is not None:
        found.append(("a stream", _end(judgement.principal.expires - now, settings)))
    return [f"{name:<12}{text}" for name, text in found]


def span(seconds: float) -> str:
    """Write a length of time in its largest fitting unit."""
    for least, size, unit in _UNITS:
        if seconds >= least:
            return f"{seconds / size:.0f} {unit}"
    return "0 s"


def moment(value: object, now: float) -> str:
    """Write a time in seconds since 1970, as it is seen from now."""
    if value is None:
        return "not said"
    if isinstance(value, bool) or not isinstance(value, int | float):
        return f"{shown(value)}, which is no number"
    try:
        at = f"{datetime.fromtimestamp(value, UTC):%Y-%m-%d %H:%M:%S} UTC"
    except (ValueError, OverflowError, OSError):
        return f"{shown(value)}, beyond the year 9999"
    return f"in {span(value - now)} ({at})" if value > now else f"{span(now - value)} ago ({at})"


def _judged_by(token: Claimed, settings: Settings) -> str:
    """Return the setting that is for tokens of this kind."""
    if is_shared_secret(token):
        return "SSE_JWT_SECRET" if settings.jwt_secret else "no setting: SSE_JWT_SECRET is not set"
    if not settings.has_provider:
        return "no setting accepts its algorithm"
    issuer = token.claims.get("iss")
    if issuer in settings.oidc_issuers:
        return "SSE_OIDC_ISSUERS"
    if settings.jwks_url is not None and issuer == settings.jwt_issuer:
        return "SSE_JWKS_URL, by SSE_JWT_ISSUER"
    return "no setting names its issuer"


def _signature(judgement: Judgement) -> str:
    if judgement.verified:
        return "good"
    return "not verified: the lines below are only what the token claims"


def _issuer(token: Claimed, judgement: Judgement) -> str:
    if token.claims.get("iss") is None:
        return "none"
    return f"{shown(token.claims['iss'])} ({'verified' if judgement.verified else 'only claimed'})"


def _audience(token: Claimed) -> tuple[str, str]:
    if not token.claims.get("aud") and "client_id" in token.claims:
        return "audience", f"{shown(token.claims['client_id'])} (client_id)"
    return "audience", shown(token.claims.get("aud"))


def _end(left: float, settings: Settings) -> str:
    longest = settings.stream_max_age_seconds
    if left <= longest * JITTER:
        return f"that opens now ends in {span(left)} with the token (expired), and needs a new one to go on"
    shortest = span(longest * JITTER)
    return (
        f"that opens now ends after {shortest} to {span(longest)} (SSE_STREAM_MAX_AGE_SECONDS), or with the token, and "
        "comes back"
    )
