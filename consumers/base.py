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


class Consumer(Protocol):
    """The long-running reader of one queue."""

    async def run(self) -> None:
        """Read until stopped; returns when the last open poll is answered and what it brought is handled."""
        ...

    def stop(self) -> None:
        """Begin no further receive. Idempotent, never waits; an open poll is left to end by itself."""
        ...
