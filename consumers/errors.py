"""The exceptions of this package, and the reasons for which a message is given up.

ConsumerError
├── NotUnderstood    no retry can help the message: the queue's redrive policy takes it away
├── MalformedAnswer  an answer with status 200 that is not what the API describes, such as a proxy's page
└── CallFailed       a call to the queue failed and must be tried again; it is already counted and logged
"""

from enum import StrEnum


class ConsumerReason(StrEnum):
    """Why a message was left to the queue's redrive policy: its wrapper, its text, or the time it was held."""

    ATTRIBUTE = "attribute"
    """A message attribute cannot be read: an array that is not JSON, or binary where text is needed."""
    DATA = "data"
    """The data cannot be decoded from Base64, or cannot be written as JSON."""
    ENCODING = "encoding"
    """The text is not Unicode: a lone surrogate, or bytes that are not UTF-8."""
    ENVELOPE = "envelope"
    """The SNS envelope is broken."""
    HELD_TOO_LONG = "held_too_long"
    """SQS lets a message be held for 12 hours, and the Handler answered NOT_NOW for all of them."""
    NUL = "nul"
    """The text contains U+0000."""
    SUBSCRIPTION = "subscription"
    """SNS asks to confirm the start or the end of a subscription."""


class ConsumerError(Exception):
    """Any failure of a consumer."""


class NotUnderstood(ConsumerError):  # noqa: N818  the vocabulary's word for the outcome
    """A message that no retry can help.

    ``reason`` is a metric's label and never text of the message. ``advice`` tells an operator what to do; it is safe to
    log.
    """

    def __init__(self, reason: StrEnum, advice: str = "") -> None:
        super().__init__(f"reason: {reason}; {advice}" if advice else f"reason: {reason}")
        self.reason = reason
        self.advice = advice


class MalformedAnswer(ConsumerError):  # noqa: N818  names what was found
    """An answer that reports success and is not what the API describes."""


class CallFailed(ConsumerError):  # noqa: N818  names what happened
    """A call to the queue failed. ``code`` is AWS's error code or the exception's class, fit for a metric's label."""

    def __init__(self, code: str) -> None:
        super().__init__(code)
        self.code = code
