"""The contract between the reader of a queue and its owner."""

from __future__ import annotations

import enum
from collections.abc import Sequence
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from consumers.envelope import Envelope


class Outcome(enum.Enum):
    """The Handler's answer for one Envelope."""

    DONE = "done"
    """All events of the message are stored: it may be deleted from its queue."""
    NOT_UNDERSTOOD = "not_understood"
    """No retry can help: the message is left to the queue's redrive policy."""
    NOT_NOW = "not_now"
    """A dependency is unavailable: hold the message, extend its visibility, call again."""


class Handler(Protocol):
    """Takes the Envelopes of one receive."""

    async def __call__(self, envelopes: Sequence[Envelope], /) -> Sequence[Outcome]:
        """Answer each Envelope, in the order given.

        The Handler must be idempotent. An Envelope comes again after NOT_NOW, after NOT_UNDERSTOOD (until the redrive
        policy takes the message), and after a lost deletion.
        It does not raise for a bad message or an unavailable dependency: both are outcomes.
        """
        ...


class Observer(Protocol):
    """Counts what a consumer does. It never receives the text of a message. Its methods neither wait nor raise."""

    def received(self, messages: int) -> None:
        """The queue answered one receive with this number of messages, which may be 0."""
        ...

    def deleted(self, messages: int) -> None:
        """The queue confirmed that this number of messages is deleted."""
        ...

    def failed(self, operation: str, code: str) -> None:
        """A call failed, or one entry of a batch call.

        ``operation`` is ``receive``, ``delete``, ``extend`` or ``attributes``. ``code`` is AWS's error code or the
        exception's class, at most 64 letters, digits, dots and dashes.
        """
        ...

    def rejected(self, reason: str) -> None:
        """The consumer itself left a message to the queue's redrive policy.

        ``reason`` is a ConsumerReason. The Handler itself counts the messages that it does not understand.
        """
        ...
