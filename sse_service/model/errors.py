"""The exceptions of this package.

ServiceError
├── Unavailable     the broker cannot be reached; what was being done may be tried again
├── InvalidSettings a setting that is wrong, missing, or contradicts another: the start is refused
├── InvalidToken    a token that does not hold: 401
├── Forbidden       a token that holds and asks too much: 403
└── Overloaded      no stream may be opened now
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sse_service.model.reasons import RefusalReason


class ServiceError(Exception):
    """Any failure that the service names."""


class Unavailable(ServiceError):  # noqa: N818  the word of the Broker contract
    """The broker cannot be reached now."""


class InvalidSettings(ServiceError):  # noqa: N818  one word for what is wrong, as its siblings
    """Settings with which nothing starts; the text is one line that names the variables and holds no secret."""


class InvalidToken(ServiceError):  # noqa: N818  RFC 6750's word
    """A token that does not hold."""


class Forbidden(ServiceError):  # noqa: N818  RFC 9110's word
    """A token that holds and asks too much."""


class Overloaded(ServiceError):  # noqa: N818  what the answer says
    """No stream may be opened now."""

    def __init__(self, reason: RefusalReason) -> None:
        super().__init__(reason)
        self.reason = reason
