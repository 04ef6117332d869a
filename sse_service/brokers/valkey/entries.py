"""How events are encoded in Valkey: in the channels' histories, and in the messages published to the tasks."""

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
class Message:
    """A message of one channel. Its event is not decoded yet."""

    epoch: str
    offset: int
    previous: int
    """Offset of the channel's event before this one, 0 if the store knows none."""
    event: bytes


def encode(route: Route) -> bytes:
    """Encode the event with its channels, which are checked when it is read."""
    event = route.event
    return orjson.dumps((event.id, event.type, event.subject, event.time, event.data, route.channels))


def decode(raw: bytes, *, epoch: str, offset: int) -> Entry:
    """Read what ``encode`` wrote; raises ValueError."""
    try:
        event_id, kind, subject, time, data, channels = orjson.loads(raw)
        cursor = Cursor(epoch, offset, digest(event_id))
        return Entry(cursor, Event(event_id, data, kind, subject, time), tuple(channels))
    except (TypeError, AttributeError):
        raise ValueError("JSON of another form") from None


def decode_message(raw: bytes) -> Message:
    """Read what the publish script sent; raises ValueError."""
    head, _, event = raw.partition(b"\n")
    epoch, offset, previous = head.split()
    return Message(epoch.decode(), int(offset), int(previous), event)
