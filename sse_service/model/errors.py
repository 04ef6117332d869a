"""The exceptions of this package.

ServiceError
├── Unavailable       the broker cannot be reached; the operation may be tried again
├── InvalidSettings   a setting is wrong, missing, or contradicts another: the command does not start
├── InvalidToken      a credential is bad: 401
│   └── MissingToken  a request has no credential: 401
├── Forbidden         a credential is good, and may not be used for this: 403
└── Overloaded        no stream can be opened now
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
    """The text is one line that names the variables. It contains no secret."""


class InvalidToken(ServiceError):  # noqa: N818  RFC 6750's word
    """The text is for the client; it is empty where the client must not learn the reason."""


class MissingToken(InvalidToken):
    """The request has no credential. RFC 6750 section 3.1: its 401 carries no error code."""


class Forbidden(ServiceError):  # noqa: N818  RFC 9110's word
    """The text is for the client."""


class Overloaded(ServiceError):  # noqa: N818  named as its siblings are
    """No stream can be opened now."""

    def __init__(self, reason: RefusalReason) -> None:
        super().__init__(reason)
        self.reason = reason
