"""What writes to one client: the contract between a Subscription and a protocol."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable

    from sse_service.streams.frame import Frame
    from sse_service.streams.service_events import ServiceEvent


@dataclass(frozen=True, slots=True)
class Progress:
    """How much a peer has acknowledged."""

    acknowledged: int
    """Bytes that the peer's kernel has acknowledged since the connection began."""
    pending: bool
    """Whether bytes wait to be acknowledged, in this process or in its machine's kernel."""


class Sink(Protocol):
    """One client's connection, owned by a Subscription while the stream is open.

    The protocol decides how a Frame, a service event and a heartbeat look as bytes. No method waits or raises. A method
    that returns False has taken what it was given; the Subscription then holds back until ``on_writable`` is called.
    """

    on_writable: Callable[[], None] | None
    """Set by the Subscription. The Sink calls it when it takes more after a method has returned False."""

    def write(self, frame: Frame, /) -> bool:
        """Write an event."""
        ...

    def tell(self, event: ServiceEvent, /) -> bool:
        """Write a service event."""
        ...

    def heartbeat(self) -> bool:
        """Write what keeps a silent connection open."""
        ...

    def size(self, frame: Frame, /) -> int:
        """Say how many bytes the Frame takes on its way to this client."""
        ...

    def progress(self) -> Progress:
        """Say how much the peer has acknowledged."""
        ...

    def end(self) -> None:
        """Let the response end: the Subscription has ended, and everything is written. Idempotent."""
        ...

    def abort(self) -> None:
        """Cut the connection, and throw away what was not sent. Idempotent."""
        ...
