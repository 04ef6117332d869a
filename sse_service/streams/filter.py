"""Which of its own events a client wants to see."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sse_service.streams.frame import Frame


@dataclass(frozen=True, slots=True, kw_only=True)
class Filter:
    """A choice of types, of a subject, or of both. It narrows what the token allows and never widens it."""

    types: frozenset[str] = frozenset()
    """Types as delivered, with ``message`` for events without one. Empty: all types."""
    subject: str | None = None
    """None: all subjects."""

    def wants(self, frame: Frame) -> bool:
        """Whether the client asked for this event."""
        return (not self.types or frame.type in self.types) and (self.subject is None or frame.subject == self.subject)
