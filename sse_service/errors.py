"""The exceptions of this package.

ServiceError
├── Unavailable     the broker cannot be reached; what was being done may be tried again
├── NotUnderstood   a message that no retry can help
├── InvalidToken    a token that does not hold: 401
└── Forbidden       a token that holds and asks too much: 403
"""


class ServiceError(Exception):
    """Any failure that the service names."""


class Unavailable(ServiceError):  # noqa: N818  the word of the Broker contract
    """The broker cannot be reached now."""


class NotUnderstood(ServiceError):  # noqa: N818  the vocabulary's word for the outcome
    """A message that cannot be routed; ``reason`` is a metric's label, never text of the message."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class InvalidToken(ServiceError):  # noqa: N818  RFC 6750's word
    """A token that does not hold."""


class Forbidden(ServiceError):  # noqa: N818  RFC 9110's word
    """A token that holds and asks too much."""
