"""Which settings say who may open a stream, and which of them go together."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any, Literal, get_args

from sse_service.settings.validators import split

Algorithm = Literal["RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA"]

WAYS = ("jwt_secret", "oidc_issuers", "jwks_url", "alb_arn", "authorizer_url", "authorizer")
"""Fields that each switch on a way to authenticate. ``serve`` needs one."""


def algorithms(value: Any) -> Any:
    """Read a list of algorithms, in any case."""
    names = {name.upper(): name for name in get_args(Algorithm)}
    words = [str(word).upper() for word in split(value)]
    if not names.keys() >= set(words):
        hint = ": HS256 tokens need only SSE_JWT_SECRET" if "HS256" in words else ""
        raise ValueError(f"each must be one of {', '.join(names.values())}{hint}")
    return [names[word] for word in dict.fromkeys(words)]


def check(
    *,
    oidc_issuers: Collection[str],
    jwks_url: str | None,
    jwt_issuer: str | None,
    jwt_audience: Collection[str],
    authorizer_url: str | None,
    authorizer: str | None,
) -> None:
    """Raise ValueError, with the variable's name first, for settings that contradict each other."""
    if jwks_url is not None and jwt_issuer is None:
        raise ValueError("SSE_JWT_ISSUER: must be set with SSE_JWKS_URL, to the iss claim of the tokens")
    if jwks_url is not None and jwt_issuer in oidc_issuers:
        raise ValueError("SSE_JWKS_URL: must be unset if SSE_OIDC_ISSUERS names the issuer of SSE_JWT_ISSUER")
    if (oidc_issuers or jwks_url is not None) and not jwt_audience:
        raise ValueError(
            "SSE_JWT_AUDIENCE: must be set with SSE_OIDC_ISSUERS and SSE_JWKS_URL, or tokens that the provider "
            "made for other applications would be accepted"
        )
    if authorizer is not None and authorizer_url is not None:
        raise ValueError("SSE_AUTHORIZER: must be unset with SSE_AUTHORIZER_URL")
