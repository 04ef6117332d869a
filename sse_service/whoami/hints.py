"""Mistakes that people make with tokens, and how to correct each. The judgement stands without them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sse_service.auth.tokens.claims import YEAR_3000
from sse_service.doctor.provider import MAX_SKEW_SECONDS
from sse_service.http.session import MAX_COOKIE_BYTES
from sse_service.whoami.claimed import algorithm, is_shared_secret, shown
from sse_service.whoami.judgement import Verdict

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from sse_service.doctor.provider import ProviderAnswer
    from sse_service.settings.settings import Settings
    from sse_service.whoami.claimed import Claimed
    from sse_service.whoami.judgement import Judgement

_ENTRA = "https://login.microsoftonline.com/"
_ENTRA_V1 = "https://sts.windows.net/"
_GRAPH = ("00000003-0000-0000-c000-000000000000", "https://graph.microsoft.com")
_GROUPS = ("groups", "cognito:groups", "roles", "realm_access")
"""Claims in which providers put groups: many, Cognito, Entra, Keycloak."""

_USERS = ("oid", "uid", "user_id", "userId", "username")
"""Claims in which signers put the user instead of ``sub``: Entra, Okta, and many an application."""

_ONLY_IN_ID_TOKENS = ("nonce", "at_hash", "c_hash")
"""Claims that only ID tokens have (OpenID Connect Core 1.0 sections 2 and 3.3.2.11)."""


def hints(token: Claimed, judgement: Judgement, settings: Settings, *, size: int, now: float) -> list[str]:
    """Return a hint for each mistake that is likely. ``size`` is the token's length."""
    if judgement.verdict is Verdict.ACCEPTED:
        return [*_of_groups(token, judgement, settings), *_of_size(size), *_of_issue_time(token.claims, now)]
    if token.problem:
        return [token.problem, *(_of_opaque(settings) if token.opaque else ())]
    return [
        *_of_algorithm(token, judgement, settings),
        *_of_issuer(token, settings),
        *_of_audience(token, settings),
        *_of_user(token, judgement, settings),
        *_of_times(token.claims, now),
        *_of_issue_time(token.claims, now),
    ]


def hints_of_provider(token: Claimed, answer: ProviderAnswer) -> list[str]:
    """Return hints that follow from the answer of the token's provider."""
    found = []
    # A list, because what the token says may not be hashable.
    if answer.keys is not None and token.header.get("kid") not in list(answer.keys.kids):
        found.append(f"the provider has keys with these ids now: {shown(sorted(answer.keys.kids))}")
    if answer.skew is not None and abs(answer.skew) > MAX_SKEW_SECONDS:
        side = "ahead of" if answer.skew > 0 else "behind"
        found.append(f"this machine's clock is {abs(answer.skew):.0f} s {side} the provider's: synchronize it with NTP")
    return found


def _of_groups(token: Claimed, judgement: Judgement, settings: Settings) -> Iterator[str]:
    found = [name for name in _GROUPS if token.claims.get(name) and name != settings.groups_claim]
    if found and judgement.principal is not None and not judgement.principal.groups:
        yield f"SSE_GROUPS_CLAIM is {settings.groups_claim}, where it has no groups; it has the claim {found[0]}"


def _of_user(token: Claimed, judgement: Judgement, settings: Settings) -> Iterator[str]:
    found = [name for name in _USERS if token.claims.get(name)]
    if judgement.verified and found and settings.user_claim == "sub" and not token.claims.get("sub"):
        yield f"SSE_USER_CLAIM is sub, which it does not have; it has the claim {found[0]}"


def _of_size(size: int) -> Iterator[str]:
    if size > MAX_COOKIE_BYTES - 200:
        yield (
            f"it has {size} characters, and browsers drop cookies of more than {MAX_COOKIE_BYTES} bytes: POST /session "
            "may refuse it; put fewer groups and claims into it"
        )


def _of_opaque(settings: Settings) -> Iterator[str]:
    if settings.has_provider:
        yield (
            "ask the provider for an access token for your own API, which is a signed JWT then: at Auth0, send the "
            "`audience` parameter"
        )
    yield "SSE_AUTHORIZER_URL is for tokens that only their issuer can read"


def _of_algorithm(token: Claimed, judgement: Judgement, settings: Settings) -> Iterator[str]:
    named = algorithm(token)
    if "signer" in token.header:
        yield "a load balancer made it: it is accepted in the header x-amzn-oidc-data alone, with SSE_ALB_ARN"
    elif named.lower() == "none":
        yield "`none` means that nobody signed it: such a token is never accepted"
    elif is_shared_secret(token):
        yield from _of_secret(named, judgement, settings)
    elif not settings.has_provider:
        yield "it is signed with a provider's key: set SSE_OIDC_ISSUERS, or SSE_JWKS_URL with SSE_JWT_ISSUER"
    elif named not in settings.jwt_algorithms:
        yield f"SSE_JWT_ALGORITHMS is {','.join(settings.jwt_algorithms)}, without {shown(token.header.get('alg'))}"


def _of_secret(named: str, judgement: Judgement, settings: Settings) -> Iterator[str]:
    if not settings.jwt_secret:
        yield "it is signed with a shared secret, and SSE_JWT_SECRET is not set"
    elif named != "HS256":
        yield f"with SSE_JWT_SECRET only HS256 is accepted: sign with it instead of {shown(named)}"
    elif not judgement.verified:
        yield (
            "it was signed with a secret that is not in SSE_JWT_SECRET: compare both; the signer must use the secret's "
            "text as it is, and not decode it from Base64 first"
        )


def _of_issuer(token: Claimed, settings: Settings) -> Iterator[str]:
    said, expected = token.claims.get("iss"), _issuers(token, settings)
    if not expected or said in expected or not isinstance(said, str):
        return
    for issuer in expected:
        if said.rstrip("/") == issuer.rstrip("/"):
            yield (
                f"its issuer is {shown(said)}, and the setting names {issuer}: the slash at the end must be the same"
            )
            return
    if said.startswith(_ENTRA_V1) and any(issuer.startswith(_ENTRA) for issuer in expected):
        yield (
            "it is a v1.0 token of Entra, and the setting has the v2.0 issuer: set requestedAccessTokenVersion to 2 in "
            "the manifest of the API's app registration"
        )
        return
    yield f"its issuer is {shown(said)}, and the settings name {', '.join(expected)}"


def _issuers(token: Claimed, settings: Settings) -> list[str]:
    """Return the issuers that the settings allow for a token of this kind."""
    own = [settings.jwt_issuer] if settings.jwt_issuer is not None else []
    if is_shared_secret(token):
        return own
    return [*settings.oidc_issuers, *(own if settings.jwks_url is not None else [])]


def _of_audience(token: Claimed, settings: Settings) -> Iterator[str]:
    given = token.claims.get("aud") or token.claims.get("client_id")
    named = [each for each in (given if isinstance(given, list) else [given]) if isinstance(each, str)]
    if any(each in _GRAPH for each in named):
        yield (
            "it is for Microsoft Graph, and only Graph can verify it: request a scope of your own API, such as "
            "api://…/access_as_user"
        )
    elif _is_id_token(token.claims, named):
        yield "it is an ID token: its audience is the client, not your API; send the access token"
    elif settings.jwt_audience and named and not set(named) & set(settings.jwt_audience):
        yield f"its audience is {shown(named)}, and SSE_JWT_AUDIENCE is {', '.join(settings.jwt_audience)}"


def _is_id_token(claims: Mapping[str, Any], audiences: list[str]) -> bool:
    if claims.get("token_use") == "access" or claims.get("scope") or claims.get("scp"):
        return False
    said = claims.get("token_use") or claims.get("typ")
    named = isinstance(said, str) and said.lower() == "id"
    return named or any(name in claims for name in _ONLY_IN_ID_TOKENS) or claims.get("azp") in audiences


def _of_times(claims: Mapping[str, Any], now: float) -> Iterator[str]:
    expires = _number(claims.get("exp"))
    if expires is not None and expires >= YEAR_3000:
        yield "its exp is in milliseconds: divide it by 1000"


def _of_issue_time(claims: Mapping[str, Any], now: float) -> Iterator[str]:
    issued = _number(claims.get("iat"))
    if issued is not None and now + MAX_SKEW_SECONDS < issued < YEAR_3000:
        yield "it was issued in the future: this machine's clock is behind the signer's, or the signer's is ahead"


def _number(value: object) -> float | None:
    return value if isinstance(value, int | float) and not isinstance(value, bool) else None
