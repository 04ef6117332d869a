"""What a queue's reader and its owner agree on."""

from __future__ import annotations

import enum
from collections.abc import Sequence
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from consumers.envelope import Envelope


class Outcome(enum.Enum):
    """The Handler's answer for one Envelope."""

    DONE = "done"
    """Stored: the message may be deleted from its queue."""
    NOT_UNDERSTOOD = "not_understood"
    """No retry can help: the message is left to the queue's redrive policy."""
    NOT_NOW = "not_now"
    """A dependency is away: hold the message, extend its visibility, call again."""


class Handler(Protocol):
    """Takes the Envelopes of one receive."""

    async def __call__(self, envelopes: Sequence[Envelope], /) -> Sequence[Outcome]:
        """Answer each Envelope, in the order given.

        Idempotent: an Envelope that was answered NOT_NOW, or whose deletion was lost, comes again.
        Raises nothing for a bad message or an absent dependency; both are answers.
        """
        ...


class Observer(Protocol):
    """Counts what a Consumer does. Never given text of a message; its methods neither wait nor raise."""

    def received(self, messages: int) -> None:
        """One receive was answered, with so many messages, 0 included."""
        ...

    def deleted(self, messages: int) -> None:
        """The queue confirmed that so many messages are deleted."""
        ...

    def failed(self, operation: str, code: str) -> None:
        """A call failed, or its part for one message.

        ``operation`` is ``receive``, ``delete``, ``extend`` or ``attributes``; ``code`` is AWS's error code or the
        exception's class, at most 64 letters, digits, dots and dashes.
        """
        ...

    def rejected(self, reason: str) -> None:
        """The Consumer itself gave a message up to the queue's redrive policy.

        ``reason`` is one that NotUnderstood names, or ``held_too_long``. What the Handler did not understand is the
        Handler's to count.
        """
        ...


class Consumer(Protocol):
    """The long-running reader of one queue."""

    async def run(self) -> None:
        """Read until stopped; returns when what the last open poll brought is handled and its deletes are confirmed.

        An absent dependency is waited for. Raises only what no retry can help, as an error of the Handler.
        """
        ...

    def stop(self) -> None:
        """Begin no further receive. Idempotent, never waits; an open poll is left to end by itself."""
        ...
