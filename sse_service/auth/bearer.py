"""Authenticate by ``Authorization: Bearer`` (RFC 6750)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sse_service.model.errors import InvalidToken

if TYPE_CHECKING:
    from starlette.requests import HTTPConnection

    from sse_service.auth.tokens.verifier import TokenVerifier
    from sse_service.model.principal import Principal


class BearerAuthenticator:
    """Verifies the token of the ``Authorization`` header.

    It needs no check of the origin: a page of another site cannot make a browser send this header.
    """

    def __init__(self, verifier: TokenVerifier) -> None:
        self._verifier = verifier

    async def authenticate(self, request: HTTPConnection) -> Principal | None:
        """Implement ``Authenticator``."""
        token = bearer_token(request)
        return None if token is None else await self._verifier.verify(token)


def bearer_token(request: HTTPConnection) -> str | None:
    """Return the token of the header; None if there is no header, or if it has another scheme.

    A browser adds ``Basic`` by itself if a password protects the whole site.

    Raises InvalidToken for two headers, because it is unclear which one counts, and for a header without a token.
    """
    # Read the raw fields: Starlette's Headers object costs as much CPU as verifying the signature.
    fields = [value for name, value in request.scope["headers"] if name == b"authorization"]
    if not fields:
        return None
    if len(fields) > 1:
        raise InvalidToken("the request has more than one Authorization header: send one")
    text: str = fields[0].decode("latin-1")
    scheme, _, token = text.partition(" ")
    if scheme.lower() != "bearer":
        return None
    if not (token := token.strip()):
        raise InvalidToken("the Authorization header has no token after 'Bearer'")
    return token
