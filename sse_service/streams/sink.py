"""What writes to one client: the contract between Subscriptions and protocols."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable

    from sse_service.model.reasons import CloseReason
    from sse_service.streams.frame import Frame
    from sse_service.streams.service_events import ServiceEvent


@dataclass(frozen=True, slots=True)
class Progress:
    """How much a peer has acknowledged."""

    acknowledged: int
    """Bytes that the peer's kernel has acknowledged so far. Only known while some are pending."""
    pending: bool
    """Whether bytes wait to be acknowledged, in this process or in its machine's kernel."""
    silent_seconds: float = 0
    """How long nothing came from the peer: no acknowledgement, no other segment. Only known while some are pending."""


class Sink(Protocol):
    """One client's connection, owned by a Subscription while the stream is open.

    The protocol encodes Frames, service events and heartbeats. Methods never wait and never raise. A method that
    returns False has still accepted its argument, but the Subscription must write nothing more until ``on_writable`` is
    called.
    """

    on_writable: Callable[[], None] | None
    """Set by the Subscription. The Sink calls it when it accepts more after a method has returned False."""

    def write(self, frame: Frame, /) -> bool:
        """Write an event."""
        ...

    def write_service_event(self, event: ServiceEvent, /) -> bool:
        """Write a service event."""
        ...

    def heartbeat(self) -> bool:
        """Write something that keeps a silent connection open and is not an event."""
        ...

    def size(self, frame: Frame, /) -> int:
        """Return the number of bytes of the encoded Frame."""
        ...

    def progress(self) -> Progress:
        """Return how much the peer has acknowledged."""
        ...

    def end(self, reason: CloseReason, /) -> None:
        """End the response. The Subscription has ended and writes nothing more. Called once at most."""
        ...

    def abort(self) -> None:
        """Cut the connection, and discard what was not sent. Idempotent."""
        ...
