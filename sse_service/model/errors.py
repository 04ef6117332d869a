"""The exceptions of this package.

ServiceError
├── Unavailable       the broker cannot be reached now; try the operation again
├── InvalidSettings   a setting is wrong, missing, or contradicts another: the command does not start
├── InvalidToken      the credential is invalid: 401
│   ├── MissingToken  the request has no credential: 401
│   └── InvalidClaim  the token's signature is valid, and what it says is not: 401
├── Forbidden         the credential is valid, but not allowed here: 403
└── Overloaded        the request cannot be decided now, or no stream can be opened now
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sse_service.model.reasons import RefusalReason


class ServiceError(Exception):
    """Base class of all exceptions that this package raises on purpose."""


class Unavailable(ServiceError):  # noqa: N818  the word of the Broker contract
    """The broker cannot be reached now."""


class InvalidSettings(ServiceError):  # noqa: N818  named as its siblings are
    """The settings are wrong. The text is one line that names the variables and contains no secrets."""


class InvalidToken(ServiceError):  # noqa: N818  RFC 6750's word
    """The credential is invalid. The text is shown to the client, and empty if the client must not learn the reason."""

    def __init__(self, text: str = "", *, internal_reason: str = "") -> None:
        """``internal_reason`` is for the operator's own terminal. It may be based on unverified parts of a token."""
        super().__init__(text)
        self.internal_reason = internal_reason or text


class MissingToken(InvalidToken):
    """The request has no credential. Its 401 carries no error code (RFC 6750 section 3.1)."""


class InvalidClaim(InvalidToken):
    """The token's signature is valid, and what it says is not. The text says what is wrong."""


class Forbidden(ServiceError):  # noqa: N818  RFC 9110's word
    """The credential is not allowed here. The text is shown to the client."""


class Overloaded(ServiceError):  # noqa: N818  named as its siblings are
    """The request cannot be decided now, or no stream can be opened now. The client should try again."""

    def __init__(self, reason: RefusalReason) -> None:
        super().__init__(reason)
        self.reason = reason
