"""Which settings say who may open a stream, and which of them go together."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from sse_service.settings.settings import Settings

Algorithm = Literal["RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA"]

WAYS = ("jwt_secret", "oidc_issuers", "jwks_url", "alb_arn", "authorizer_url", "authorizer")
"""Fields that each switch on a way to authenticate. ``serve`` needs one."""


def check(settings: Settings) -> None:
    """Raise ValueError, with the variable's name first, for settings that contradict each other."""
    if settings.jwks_url is not None and settings.jwt_issuer is None:
        raise ValueError("SSE_JWT_ISSUER: must be set with SSE_JWKS_URL, to the iss claim of the tokens")
    if settings.jwks_url is not None and settings.jwt_issuer in settings.oidc_issuers:
        raise ValueError("SSE_JWKS_URL: must be unset if SSE_OIDC_ISSUERS names the issuer of SSE_JWT_ISSUER")
    if settings.has_provider and not settings.jwt_audience:
        raise ValueError(
            "SSE_JWT_AUDIENCE: must be set with SSE_OIDC_ISSUERS and SSE_JWKS_URL, or tokens that the provider "
            "made for other applications would be accepted"
        )
    if settings.authorizer is not None and settings.authorizer_url is not None:
        raise ValueError("SSE_AUTHORIZER: must be unset with SSE_AUTHORIZER_URL")
