"""One Event on its way to clients."""

from __future__ import annotations

from dataclasses import field
from typing import TYPE_CHECKING

from sse_service.model.values import value

if TYPE_CHECKING:
    from sse_service.model.cursor import Cursor
    from sse_service.model.events import Event

_RESERVED = frozenset({"open", "error"})  # an EventSource fires its own handlers under these names


@value
class Frame:
    """One Event as all streams of this process share it."""

    cursor: Cursor
    offset: int
    """The cursor's offset. Every stream compares it, so it is read from here."""
    type: str
    """The type as delivered; ``message`` for an Event without one."""
    subject: str | None
    event: Event
    encodings: dict[str, bytes] = field(default_factory=dict, hash=False, compare=False)
    """The bytes of each protocol that has written this Frame, by the protocol's name. A protocol encodes it once."""


def frame(event: Event, cursor: Cursor) -> Frame:
    """Make the Frame of an Event."""
    return Frame(cursor, cursor.offset, delivered_type(event.type) or "message", event.subject, event)


def delivered_type(name: str | None) -> str | None:
    """Give a publisher's type as clients see it: ``event.`` keeps it apart from our names and an EventSource's own."""
    if name is not None and (name in _RESERVED or name.startswith("stream.")):
        return f"event.{name}"
    return name
