"""Read a Principal from the claims of a token whose signature was verified."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jmespath
from jmespath.exceptions import JMESPathError

from sse_service.model.errors import Forbidden, InvalidClaim
from sse_service.model.principal import Principal

MAX_GROUPS = 100
"""Limit of groups in one token. A stream subscribes to a channel for each of them."""

NBF_LEEWAY_SECONDS = 60
"""How far the signer's clock may be ahead. Without it, one second is enough for a 401, after which an EventSource never
reconnects."""

_OTHER_USES = ("id", "refresh", "offline", "logout")
"""What the claims ``token_use`` (Cognito) and ``typ`` (Keycloak) say, in lower case, if a token is no access token."""

YEAR_3000 = 32_503_680_000
"""Seconds since 1970. A time in milliseconds lies beyond it, and would make a token valid for 56,000 years."""


class ClaimsReader:
    """Checks the audience and the times, and reads the user and the groups.

    ``exp`` has no leeway. ``iat`` decides nothing here: it tells a token's age, not whether it is valid (RFC 7519
    section 4.1.6). Only a revocation compares it.
    """

    def __init__(self, *, audiences: Sequence[str] = (), user_claim: str = "sub", groups_claim: str = "groups") -> None:
        """``user_claim`` and ``groups_claim`` are a claim's name, or JMESPath to a nested one."""
        self._audiences = frozenset(audiences)
        self._user_claim = user_claim
        self._groups_claim = groups_claim
        self._find_user = _finder(user_claim)
        self._find_groups = _finder(groups_claim)

    def principal(self, claims: Mapping[str, Any], credential: bytes = b"", fingerprint: bytes = b"") -> Principal:
        """Return the user. ``credential`` and ``fingerprint`` are the digests of the token.

        Raises InvalidClaim with a text that names the invalid claim, and Forbidden for too many groups.
        """
        self._check_use(claims)
        self._check_audience(claims)
        now = time.time()
        expires = expiry(claims, now)
        if "nbf" in claims and _seconds(claims, "nbf") > now + NBF_LEEWAY_SECONDS:
            raise InvalidClaim(f"the token's nbf claim is more than {NBF_LEEWAY_SECONDS} s in the future")
        user, groups = self.user_and_groups(claims)
        return Principal(user, groups, expires, _issued(claims), credential, fingerprint)

    def user_and_groups(self, claims: Mapping[str, Any]) -> tuple[str, tuple[str, ...]]:
        """Return the user and the groups. Raises InvalidClaim, and Forbidden for too many groups."""
        return self._user(claims), self._groups(claims)

    def _check_use(self, claims: Mapping[str, Any]) -> None:
        """Refuse ID tokens and refresh tokens, where they say what they are."""
        for name in ("token_use", "typ"):
            use = claims.get(name)
            if isinstance(use, str) and use.lower() in _OTHER_USES:
                raise InvalidClaim(f"the token's {name} claim says that it is no access token: send the access token")

    def _check_audience(self, claims: Mapping[str, Any]) -> None:
        name, given = "aud", claims.get("aud") or None
        if given is None and self._audiences:
            # Cognito's access tokens have no ``aud``, and name the application in ``client_id``.
            name, given = "client_id", claims.get("client_id") or None
            if given is None:
                raise InvalidClaim("the token has no aud claim")
        if given is None:
            return
        if not self._audiences:
            raise InvalidClaim(
                "the token has an aud claim, and SSE_JWT_AUDIENCE is not set: set it to the token's audience"
            )
        named = given if isinstance(given, list) else [given]
        if not all(isinstance(each, str) for each in named) or self._audiences.isdisjoint(named):
            raise InvalidClaim(f"the token's {name} claim does not contain an audience that SSE_JWT_AUDIENCE names")

    def _user(self, claims: Mapping[str, Any]) -> str:
        given = self._find_user(claims)
        if given is None:
            raise InvalidClaim(f"the token has no {self._user_claim} claim")
        user = as_name(given)
        if user is None:
            raise InvalidClaim(f"the token's {self._user_claim} claim must be the user: a string or an integer")
        if not is_trimmed(user):
            raise InvalidClaim(f"the token's {self._user_claim} claim must not be empty, or have white space around it")
        return user

    def _groups(self, claims: Mapping[str, Any]) -> tuple[str, ...]:
        given = self._find_groups(claims) or []
        groups = [as_name(group) for group in given] if isinstance(given, list) else [None]
        names = tuple(dict.fromkeys(group for group in groups if group is not None))
        if None in groups:
            raise InvalidClaim(f"the token's {self._groups_claim} claim must be a list of strings or integers")
        if not all(map(is_trimmed, names)):
            raise InvalidClaim(
                f"a group in the token's {self._groups_claim} claim must not be empty, or have white space around it"
            )
        if len(groups) > MAX_GROUPS:
            raise Forbidden(f"the token has more than {MAX_GROUPS} groups")
        return names


def expiry(claims: Mapping[str, Any], now: float) -> int:
    """Return when a token expires. Raises InvalidClaim if it has expired."""
    expires = _seconds(claims, "exp")
    if expires <= now:
        raise InvalidClaim("the token has expired (exp claim): get a new one")
    if expires >= YEAR_3000:
        raise InvalidClaim("the token's exp claim is beyond the year 3000: it must be in seconds, not milliseconds")
    return expires


def _finder(name: str) -> Callable[[Mapping[str, Any]], Any]:
    """Return what reads a claim: by its name (``cognito:groups``), else by JMESPath (``realm_access.roles``)."""
    try:
        compiled = jmespath.compile(name)
    except JMESPathError:
        compiled = None
    if compiled is None or (compiled.parsed["type"] == "field" and compiled.parsed["value"] == name):
        return lambda claims: claims.get(name)

    def find(claims: Mapping[str, Any]) -> Any:
        if name in claims:
            return claims[name]
        try:
            return compiled.search(claims)
        # JMESPath's functions raise OverflowError, RecursionError and others on some values (CWE-248).
        except Exception:
            raise InvalidClaim(
                f"{name} cannot be read from the token: the claim has another type than the JMESPath expects"
            ) from None

    return find


def user_id(given: object) -> str | None:
    """Return a user as a token may name it: a string, or an integer as one. None for anything else."""
    name = as_name(given)
    return name if name is not None and is_trimmed(name) else None


def _issued(claims: Mapping[str, Any]) -> float | None:
    """Return when the token was issued; None if it does not say."""
    issued = claims.get("iat")
    return issued if isinstance(issued, int | float) and not isinstance(issued, bool) else None


def _seconds(claims: Mapping[str, Any], name: str) -> int:
    try:
        return int(claims[name])
    except (ValueError, TypeError, OverflowError):
        raise InvalidClaim(f"the token's {name} claim must be a number of seconds since 1970") from None


def as_name(value: object) -> str | None:
    """Return a user or group as a string; None if it cannot be one."""
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    if not isinstance(value, str):
        return None
    # JSON may contain half of a surrogate pair. UTF-8 cannot, so the name could not be sent to a client.
    return value if value.isascii() or not any("\ud800" <= char <= "\udfff" for char in value) else None


def is_trimmed(name: str) -> bool:
    """Whether a name has no white space around it. People cannot tell ``"42 "`` from the user ``"42"``."""
    return name != "" and name == name.strip()
