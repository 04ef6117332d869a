"""Puts together the ways to authenticate that the settings switch on. Each way is a file or room in ``auth``."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from sse_service.auth.alb import keys as alb_keys
from sse_service.auth.alb.authenticator import ALBAuthenticator
from sse_service.auth.authenticator import SEND_BEARER, SIGN_IN, AuthenticatorChain
from sse_service.auth.authorizer.callable import CallableAuthorizer, import_authorizer
from sse_service.auth.authorizer.url import URLAuthorizer
from sse_service.auth.bearer import BearerAuthenticator
from sse_service.auth.cookie import CookieAuthenticator
from sse_service.auth.providers.discovery import fetch_keys
from sse_service.auth.providers.provider import Provider
from sse_service.auth.providers.verifier import ProviderVerifier
from sse_service.auth.tokens.claims import ClaimsReader
from sse_service.auth.tokens.hs256 import HS256Verifier
from sse_service.auth.tokens.signing import TokenSigner

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Coroutine, Mapping, Sequence

    from sse_service.auth.authenticator import Authenticator
    from sse_service.auth.providers.discovery import FetchedKeys
    from sse_service.auth.tokens.verifier import TokenVerifier
    from sse_service.model.principal import Principal
    from sse_service.model.revocations import RevocationTable
    from sse_service.settings.settings import Settings
    from sse_service.telemetry.metrics import Metrics


@dataclass(frozen=True, slots=True, kw_only=True)
class Identity:
    """Finds out who is behind a request."""

    authenticators: AuthenticatorChain
    """The first that finds a credential decides."""
    verifier: TokenVerifier | None
    """Verifies bearer tokens and session cookies; None if the settings allow no tokens."""
    work: Sequence[Callable[[], Coroutine[None, None, None]]]
    """What must run in the background, until it is cancelled."""
    dependencies: Mapping[str, Callable[[], str | None]]
    """The outside services that are needed, by name: what is wrong with each, or None."""
    notes: Mapping[str, Callable[[], str | None]]
    """What an operator should know about some of them although they serve, or None."""


def identity_of(settings: Settings, *, metrics: Metrics, revocations: RevocationTable) -> Identity:
    """Make what the settings describe. Raises InvalidSettings if the code of ``SSE_AUTHORIZER`` cannot be used."""
    providers = providers_of(settings)
    verifier = verifier_of(settings, providers)
    ways: list[Authenticator] = []
    work: list[Callable[[], Coroutine[None, None, None]]] = [provider.run for provider in providers]
    dependencies: dict[str, Callable[[], str | None]] = {
        f"issuer {each.issuer}": _trouble_of(each) for each in providers
    }
    if verifier is not None:
        ways += [
            BearerAuthenticator(verifier),
            CookieAuthenticator(verifier, name=settings.cookie_name, allowed_origins=settings.cors_origins),
        ]
    if settings.alb_arn is not None:
        keys = alb_keys.ALBKeys(url=alb_keys.keys_url(settings.alb_arn))
        dependencies["load balancer keys"] = _trouble_of(keys)
        ways.append(
            ALBAuthenticator(
                arn=settings.alb_arn,
                keys=keys,
                claims=claims_of(settings),
                allowed_origins=settings.cors_origins,
            )
        )

    def still_good(principal: Principal) -> bool:
        return not revocations.refuses(principal)

    # Last, because it accepts any credential: it is asked about those that no other way has recognized.
    if settings.authorizer_url is not None:
        authorizer = URLAuthorizer(
            settings.authorizer_url,
            metrics=metrics,
            allowed_origins=settings.cors_origins,
            still_good=still_good,
        )
        ways.append(authorizer)
        work.append(authorizer.run)
        dependencies["authorizer"] = lambda: authorizer.trouble
    elif settings.authorizer is not None:
        code = CallableAuthorizer(
            import_authorizer(settings.authorizer),
            metrics=metrics,
            allowed_origins=settings.cors_origins,
            still_good=still_good,
        )
        ways.append(code)
        dependencies["authorizer"] = lambda: code.trouble
    return Identity(
        authenticators=AuthenticatorChain(
            *ways, revocations=revocations, advice=SEND_BEARER if verifier is not None else SIGN_IN
        ),
        verifier=verifier,
        work=work,
        dependencies=dependencies,
        notes={f"issuer {each.issuer}": _note_of(each) for each in providers},
    )


def _trouble_of(source: Provider | alb_keys.ALBKeys) -> Callable[[], str | None]:
    return lambda: source.trouble


def _note_of(provider: Provider) -> Callable[[], str | None]:
    return lambda: provider.note


def claims_of(settings: Settings) -> ClaimsReader:
    """Make the reader of a token's claims."""
    return ClaimsReader(
        audiences=settings.jwt_audience, user_claim=settings.user_claim, groups_claim=settings.groups_claim
    )


def keys_urls_of(settings: Settings) -> Mapping[str, str | None]:
    """Return the URL of each issuer's keys; None if its discovery document names it."""
    found: dict[str, str | None] = dict.fromkeys(settings.oidc_issuers)
    if settings.jwks_url is not None and settings.jwt_issuer is not None:
        found[settings.jwt_issuer] = settings.jwks_url
    return found


def providers_of(settings: Settings, *, fetch: Callable[..., Awaitable[FetchedKeys]] = fetch_keys) -> list[Provider]:
    """Make the identity providers. ``run`` of each must run in the background, or ``refresh`` be called once."""
    return [
        Provider(
            issuer=issuer,
            issuer_setting="SSE_JWT_ISSUER" if keys_url else "SSE_OIDC_ISSUERS",
            fetch=partial(fetch, issuer=issuer, keys_url=keys_url, algorithms=settings.jwt_algorithms),
        )
        for issuer, keys_url in keys_urls_of(settings).items()
    ]


def verifier_of(settings: Settings, providers: Sequence[Provider]) -> TokenVerifier | None:
    """Make the token verifier; None if the settings allow no tokens."""
    claims = claims_of(settings)
    shared_secrets = None
    if settings.jwt_secret:
        shared_secrets = HS256Verifier(
            secrets=[secret.get_secret_value() for secret in settings.jwt_secret],
            issuer=settings.jwt_issuer,
            claims=claims,
        )
    if not providers:
        return shared_secrets
    return ProviderVerifier(
        providers=providers, algorithms=settings.jwt_algorithms, claims=claims, shared_secrets=shared_secrets
    )


def signer_of(settings: Settings) -> TokenSigner:
    """Make a signer whose tokens the verifier of ``verifier_of`` accepts. ``jwt_secret`` must be set."""
    return TokenSigner(
        secret=settings.jwt_secret[0].get_secret_value(),
        issuer=settings.jwt_issuer,
        audience=settings.jwt_audience[0] if settings.jwt_audience else None,
        user_claim=settings.user_claim,
        groups_claim=settings.groups_claim,
    )
