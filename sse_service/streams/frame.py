"""A Frame is one Event on its way to clients."""

from __future__ import annotations

from dataclasses import field
from typing import TYPE_CHECKING

from sse_service.model.values import value

if TYPE_CHECKING:
    from sse_service.model.cursor import Cursor
    from sse_service.model.events import Event

_RESERVED = frozenset({"open", "error"})  # events that an EventSource fires by itself


@value
class Frame:
    """One Event with its cursor. All streams of this process share it."""

    cursor: Cursor
    offset: int
    """The cursor's offset, copied because every stream compares it."""
    type: str
    """The type as delivered; ``message`` for an Event without one."""
    subject: str | None
    event: Event
    made_at: float
    """When this process got the Event, in seconds of the timer's clock. Live streams write it then."""
    encodings: dict[str, bytes] = field(hash=False, compare=False)
    """Protocol name -> bytes. Each protocol encodes a Frame only once."""


def make_frame(event: Event, cursor: Cursor, *, at: float = 0) -> Frame:
    """Make the Frame of an Event. ``at`` is ``made_at``."""
    return Frame(cursor, cursor.offset, delivered_type(event.type) or "message", event.subject, event, at, {})


def delivered_type(name: str | None) -> str | None:
    """Return a publisher's type as clients see it.

    The prefix ``event.`` keeps it apart from service events and from the events that an EventSource fires by itself.
    """
    if name is not None and (name in _RESERVED or name.startswith("stream.")):
        return f"event.{name}"
    return name
