"""The exceptions of this package.

ConsumerError
├── NotUnderstood    a message that no retry can help; the queue's redrive takes it away
├── MalformedAnswer  an answer of status 200 that is none, as a proxy's page
└── CallFailed       a call to the queue that must be tried again; counted and logged already
"""


class ConsumerError(Exception):
    """Any failure of a consumer."""


class NotUnderstood(ConsumerError):  # noqa: N818  the vocabulary's word for the outcome
    """A message whose wrapper or text is broken; ``reason`` is a metric's label, never text of the message."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class MalformedAnswer(ConsumerError):  # noqa: N818  names what was found
    """An answer that says success and is not what the API describes."""


class CallFailed(ConsumerError):  # noqa: N818  names what happened
    """A call to the queue failed; ``code`` is AWS's error code or the exception's class, fit for a metric's label."""

    def __init__(self, code: str) -> None:
        super().__init__(code)
        self.code = code
