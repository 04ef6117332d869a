"""The exceptions of this package.

ConsumerError
└── NotUnderstood   a message that no retry can help; the queue's redrive takes it away
"""


class ConsumerError(Exception):
    """Any failure of a consumer."""


class NotUnderstood(ConsumerError):  # noqa: N818  the vocabulary's word for the outcome
    """A message whose wrapper or text is broken; ``reason`` is a metric's label, never text of the message."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason
