"""What a client wants to see of its own events."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sse_service.protocols.sse.frames import Frame

_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")


@dataclass(frozen=True, slots=True, kw_only=True)
class Filter:
    """What a client wants to see of its own events."""

    types: frozenset[str] = frozenset()
    """Names as delivered, ``message`` for events without one; empty is all."""
    subject: str | None = None

    def wants(self, frame: Frame) -> bool:
        """Whether the client asked for this one."""
        return (not self.types or frame.type in self.types) and (self.subject is None or frame.subject == self.subject)


def read(*, types: str | None, subject: str | None) -> Filter | None:
    """Read the queries; None where neither narrows.

    Raises ValueError for an empty name or a control character.
    """
    for name, value in (("types", types), ("subject", subject)):
        if value is not None and (not value or _CONTROL.search(value)):
            raise ValueError(f"{name} must not be empty, and must not hold control characters")
    if types is None and subject is None:
        return None
    names = frozenset(types.split(",")) if types is not None else frozenset()
    if "" in names:
        raise ValueError("types must be names, separated by commas")
    return Filter(types=names, subject=subject)
