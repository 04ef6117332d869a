"""Authenticate by the header in which an Application Load Balancer says whom it has signed in."""

from __future__ import annotations

import re
import time
from collections.abc import Collection
from typing import TYPE_CHECKING

import jwt

from sse_service.auth.alb.keys import ALGORITHM
from sse_service.auth.origin import SAFE_METHODS, check_origin
from sse_service.auth.tokens.claims import expiry
from sse_service.auth.tokens.verifier import credential, verified_parts
from sse_service.model.errors import InvalidToken
from sse_service.model.principal import Principal

if TYPE_CHECKING:
    from starlette.requests import HTTPConnection

    from sse_service.auth.alb.keys import ALBKeys
    from sse_service.auth.tokens.claims import ClaimsReader

HEADER = "x-amzn-oidc-data"

SESSION_SECONDS = 7 * 86_400
"""The longest session of a load balancer (AWS's default and maximum of ``SessionTimeout``).

The header itself expires within minutes, because the load balancer makes a new one for each request. If a stream ended
with its header, its page would be told not to come back. ``SSE_STREAM_MAX_AGE_SECONDS`` ends the stream much earlier
than this, and then the load balancer decides whether the user is still signed in.
"""

_UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")


class ALBAuthenticator:
    """Verifies ``x-amzn-oidc-data``, if the requesting page may use the load balancer's session cookie.

    A browser adds that cookie by itself, no matter which page makes the request.
    """

    def __init__(self, *, arn: str, keys: ALBKeys, claims: ClaimsReader, allowed_origins: Collection[str] = ()) -> None:
        """``arn`` is the load balancer whose header is trusted. Those of others are signed with the same keys."""
        self._arn = arn
        self._keys = keys
        self._claims = claims
        self._allowed_origins = frozenset(allowed_origins)

    async def authenticate(self, request: HTTPConnection) -> Principal | None:
        """Implement ``Authenticator``."""
        name = HEADER.encode()
        fields = [value for key, value in request.scope["headers"] if key == name]
        if not fields:
            return None
        check_origin(request, allowed=self._allowed_origins, safe=request.scope.get("method") in SAFE_METHODS)
        if len(fields) > 1:
            # The load balancer sends one. It is unclear which of two it has signed for this request.
            raise InvalidToken(f"the request has more than one {HEADER} header")
        token: str = fields[0].decode("latin-1")
        key = await self._keys.key(self._kid(token))
        header, claims = verified_parts(token, [key])
        _check_times(header, claims)
        user, groups = self._claims.user_and_groups(claims)
        # AWS does not say when the user signed in, so a revoked user stays refused for SSE_REVOKED_SECONDS.
        return Principal(user, groups, int(time.time()) + SESSION_SECONDS, None, credential(token))

    def _kid(self, token: str) -> str:
        """Return the id of the key. Only a header that our load balancer may have written leads to a fetch."""
        try:
            header = jwt.get_unverified_header(token)
        except (jwt.InvalidTokenError, ValueError):
            raise InvalidToken(internal_reason="the header is malformed") from None
        if header.get("alg") != ALGORITHM:
            raise InvalidToken(internal_reason=f"the header's alg is not {ALGORITHM}")
        if header.get("signer") != self._arn:
            raise InvalidToken(internal_reason="the header's signer is not the load balancer in SSE_ALB_ARN")
        kid = header.get("kid")
        if not isinstance(kid, str) or not _UUID.fullmatch(kid):
            raise InvalidToken(internal_reason="the header's kid is not a UUID")
        return kid


def _check_times(header: dict[str, object], claims: dict[str, object]) -> None:
    """Refuse a header that has expired, so that a captured one cannot be used later.

    AWS documents ``exp`` in the JOSE header, and its own examples have it in the payload too. One of them is needed.
    """
    times = [part for part in (header, claims) if "exp" in part]
    if not times:
        raise InvalidToken(f"the {HEADER} header has no exp")
    for part in times:
        expiry(part, time.time())
