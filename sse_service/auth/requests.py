"""Request to Principal: by bearer header, or by the session's cookie."""

from __future__ import annotations

from collections.abc import Collection
from typing import TYPE_CHECKING

from sse_service.auth.origin import may_use_cookie
from sse_service.model.errors import Forbidden, InvalidToken

if TYPE_CHECKING:
    from starlette.requests import HTTPConnection

    from sse_service.auth.tokens import Tokens
    from sse_service.model.principal import Principal


class RequestAuth:
    """Finds the one token of a request, and verifies it."""

    def __init__(self, *, tokens: Tokens, cookie_name: str, allowed_origins: Collection[str] = ()) -> None:
        self._tokens = tokens
        self._cookie_name = cookie_name
        self._origins = frozenset(allowed_origins)

    def bearer(self, request: HTTPConnection) -> tuple[str, Principal]:
        """Give the token of the ``Authorization`` header, verified; a cookie is not looked at.

        Raises InvalidToken and Forbidden.
        """
        found, _ = self._found(request)
        if len(found) != 1:
            raise InvalidToken("exactly one 'Authorization: Bearer' header is needed")
        return found[0], self._tokens.verify(found[0])

    def principal(self, request: HTTPConnection) -> Principal:
        """Verify the token of the header or of the cookie.

        Raises InvalidToken where there is none, or more than one: which of two is meant would be a guess; and
        Forbidden for a cookie that a foreign page made the browser send.
        """
        bearers, cookies = self._found(request)
        if len(bearers) + len(cookies) > 1:
            raise InvalidToken("more than one token: send the header or the cookie, once")
        if bearers:
            return self._tokens.verify(bearers[0])
        if not cookies:
            raise InvalidToken("a token is needed: 'Authorization: Bearer …', or the cookie made by POST /session")
        principal = self._tokens.verify(cookies[0])
        self.check_origin(request)
        return principal

    def check_origin(self, request: HTTPConnection) -> None:
        """Raises Forbidden for a request that a page of an origin that is not allowed made."""
        if not may_use_cookie(request, allowed=self._origins, safe=request.scope["method"] in ("GET", "HEAD")):
            raise Forbidden("this origin may not use the session; see SSE_CORS_ORIGINS")

    def _found(self, request: HTTPConnection) -> tuple[list[str], list[str]]:
        """The tokens of all headers, and of all cookies.

        From the raw fields: Starlette's own reading of them takes as long as the signature.
        """
        bearers, cookies = [], []
        for name, value in request.scope["headers"]:
            if name == b"authorization":
                bearers.append(_bearer(value.decode("latin-1")))
            elif name == b"cookie":
                cookies += _cookies(value.decode("latin-1"), self._cookie_name)
        return bearers, cookies


def _bearer(field: str) -> str:
    scheme, _, token = field.partition(" ")
    if scheme.lower() != "bearer" or not (token := token.strip()):
        raise InvalidToken("the Authorization header must be 'Bearer' and a token")
    return token


def _cookies(field: str, name: str) -> list[str]:
    """Every cookie of the name: one set by a sibling subdomain comes beside ours, not in its place (RFC 6265 §8.6)."""
    pairs = (pair.partition("=") for pair in field.split(";"))
    return [value.strip() for key, _, value in pairs if key.strip() == name and value.strip()]
