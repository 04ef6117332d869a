"""What writes to one client: the contract between a Subscription and a connection."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a peer has come."""

    acknowledged: int
    """Bytes that the peer's kernel has acknowledged since the connection began."""
    pending: bool
    """Whether anything waits to be acknowledged, in this process or in its machine's kernel."""


class Sink(Protocol):
    """One client's connection, while a Subscription lasts."""

    on_writable: Callable[[], None] | None
    """Set by the Subscription; called when a write may be tried again after one that answered False."""

    def write(self, chunk: bytes, /) -> bool:
        """Take a chunk-coded block. Never waits, raises nothing; False: hold back until told writable."""
        ...

    def progress(self) -> Progress:
        """Say how far the peer has come."""
        ...

    def wake(self) -> None:
        """Hear that the Subscription has ended, so that the response may."""
        ...

    def abort(self) -> None:
        """Cut the connection, and throw away what was not sent. Idempotent."""
        ...
