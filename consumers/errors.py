"""The exceptions of this package, and the reasons for rejecting a message.

ConsumerError
├── NotUnderstood    no retry can help: the message is left to the queue's redrive policy
├── MalformedAnswer  an answer with status 200 that does not match the API, such as a proxy's HTML page
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
    """The Handler answered NOT_NOW for 12 hours, the longest that SQS lets a message be held."""
    NUL = "nul"
    """The text contains U+0000."""
    SUBSCRIPTION = "subscription"
    """SNS asks to confirm the start or the end of a subscription."""


class ConsumerError(Exception):
    """Any failure of a consumer."""


class NotUnderstood(ConsumerError):  # noqa: N818  the vocabulary's word for the outcome
    """A message that cannot be understood, so that no retry can help.

    ``reason`` is a metric's label. ``advice`` tells an operator what to do. Neither contains text of the message,
    except that the advice may have the names of its attributes, made harmless by ``text.loggable_name``.
    """

    def __init__(self, reason: StrEnum, advice: str = "") -> None:
        super().__init__(f"reason: {reason}; {advice}" if advice else f"reason: {reason}")
        self.reason = reason
        self.advice = advice


class MalformedAnswer(ConsumerError):  # noqa: N818  names what was found
    """An answer that reports success but does not match the API."""


class CallFailed(ConsumerError):  # noqa: N818  names what happened
    """A call to the queue failed. ``code`` is AWS's error code or the exception's class. It is a metric's label."""

    def __init__(self, code: str) -> None:
        super().__init__(code)
        self.code = code
