"""Authenticate by the session cookie that ``POST /session`` sets."""

from __future__ import annotations

from collections.abc import Collection
from typing import TYPE_CHECKING

from sse_service.auth.origin import SAFE_METHODS, check_origin
from sse_service.model.errors import InvalidToken

if TYPE_CHECKING:
    from starlette.requests import HTTPConnection

    from sse_service.auth.tokens.verifier import TokenVerifier
    from sse_service.model.principal import Principal


class CookieAuthenticator:
    """Verifies the token of the session cookie, if the requesting page may use the cookie."""

    def __init__(self, verifier: TokenVerifier, *, name: str, allowed_origins: Collection[str] = ()) -> None:
        self._verifier = verifier
        self._name = name
        self._allowed_origins = frozenset(allowed_origins)

    async def authenticate(self, request: HTTPConnection) -> Principal | None:
        """Implement ``Authenticator``."""
        values = cookie_values(request, self._name)
        if not values:
            return None
        check_origin(request, allowed=self._allowed_origins, safe=request.scope.get("method") in SAFE_METHODS)
        if len(values) > 1:
            raise InvalidToken(
                f"the browser sent different {self._name} cookies, set for different domains: "
                "DELETE /session removes them, then POST /session sets a new one"
            )
        return await self._verifier.verify(values.pop())


def cookie_values(request: HTTPConnection, name: str) -> set[str]:
    """Return the different values of all cookies of this name.

    There may be several, because a browser keeps one for each domain and sends them all. This happens after a change of
    SSE_COOKIE_DOMAIN, or if a sibling subdomain sets such a cookie (RFC 6265 section 8.6).
    """
    # Read the raw fields, as bearer.py does. Starlette's cookie parser also keeps only the last cookie of a name.
    fields = [value.decode("latin-1") for key, value in request.scope["headers"] if key == b"cookie"]
    pairs = (pair.partition("=") for field in fields for pair in field.split(";"))
    return {value.strip() for key, _, value in pairs if key.strip() == name and value.strip()}
