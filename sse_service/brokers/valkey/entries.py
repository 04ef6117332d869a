"""How events are written down in Valkey, in the channels' streams and in what is published to the tasks."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import orjson

from sse_service.brokers.base import Entry
from sse_service.model.cursor import Cursor, digest
from sse_service.model.events import Event

if TYPE_CHECKING:
    from sse_service.model.events import Route


@dataclass(frozen=True, slots=True)
class Push:
    """One message of a channel, its event not yet read."""

    epoch: str
    offset: int
    previous: int
    """Last offset of the same channel before this one, 0 where the store knows of none."""
    event: bytes


def encode(route: Route) -> bytes:
    """The event with its channels, which are checked again on reading."""
    event = route.event
    return orjson.dumps((event.id, event.type, event.subject, event.time, event.data, route.channels))


def decode(raw: bytes, *, epoch: str, offset: int) -> Entry:
    """Read what ``encode`` gave; raises ValueError."""
    try:
        event_id, kind, subject, time, data, channels = orjson.loads(raw)
        cursor = Cursor(epoch, offset, digest(event_id))
        return Entry(cursor, Event(event_id, data, kind, subject, time), tuple(channels))
    except (TypeError, AttributeError):
        raise ValueError("JSON of another form") from None


def push(message: bytes) -> Push:
    """Read what the script published; raises ValueError."""
    head, _, event = message.partition(b"\n")
    epoch, offset, previous = head.split()
    return Push(epoch.decode(), int(offset), int(previous), event)
