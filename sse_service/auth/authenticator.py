"""The contract of every way to authenticate a request, and the chain that tries them in order."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from sse_service.model.errors import MissingToken

if TYPE_CHECKING:
    from starlette.requests import HTTPConnection

    from sse_service.model.principal import Principal
    from sse_service.model.revocations import RevocationTable


SEND_BEARER = "a token is needed: send 'Authorization: Bearer …', or the cookie that POST /session sets"
SIGN_IN = (
    "the request has no credential: sign in to the application first. A page of another origin must open the stream "
    "with {withCredentials: true}"
)
"""What to do if no credential was found."""


class Authenticator(Protocol):
    """One way to find out who sent a request."""

    async def authenticate(self, request: HTTPConnection) -> Principal | None:
        """Return the Principal, or None if the request has no credential of this kind.

        Raises InvalidToken for a bad credential (401), and Forbidden for a good one that may not be used here (403).
        The text of both is sent to the client. Neither the texts nor the log may contain the credential.
        Raises Overloaded with ``RefusalReason.IDENTITY`` if the credential cannot be judged now, because something that
        is needed for it is unavailable. An EventSource gives up for good on a 401, so an outage must not become one.
        """
        ...


class AuthenticatorChain:
    """Asks each authenticator in turn. The first that finds a credential decides, even if the credential is bad.

    It also refuses what was revoked, so no authenticator has to.
    """

    def __init__(self, *authenticators: Authenticator, revocations: RevocationTable, advice: str = SEND_BEARER) -> None:
        """``advice`` is for a client without a credential."""
        self._authenticators = authenticators
        self._revocations = revocations
        self._advice = advice

    async def authenticate(self, request: HTTPConnection) -> Principal:
        """Return the Principal.

        Raises MissingToken if the request has no credential, InvalidToken if it was revoked, and the exceptions of
        ``Authenticator``.
        """
        for authenticator in self._authenticators:
            principal = await authenticator.authenticate(request)
            if principal is not None:
                self._revocations.check(principal)
                return principal
        raise MissingToken(self._advice)
