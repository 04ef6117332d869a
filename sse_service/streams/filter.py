"""Which of its user's events a client asks for."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sse_service.streams.frame import Frame


@dataclass(frozen=True, slots=True, kw_only=True)
class Filter:
    """Selects events by type, by subject, or by both. It narrows what the token allows and never widens it."""

    types: frozenset[str] = frozenset()
    """Types as delivered; ``message`` selects events without a type. Empty selects all types."""
    subject: str | None = None
    """None selects all subjects."""

    def wants(self, frame: Frame) -> bool:
        """Whether the filter selects this event."""
        return (not self.types or frame.type in self.types) and (self.subject is None or frame.subject == self.subject)
