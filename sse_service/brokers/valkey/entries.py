"""The encoding of events in Valkey, in the histories of channels and in pub/sub messages."""

from __future__ import annotations

from typing import TYPE_CHECKING

import orjson

from sse_service.brokers.base import Entry
from sse_service.model.cursor import Cursor, digest
from sse_service.model.events import Event
from sse_service.model.values import value

if TYPE_CHECKING:
    from sse_service.model.events import Route


@value
class LiveMessage:
    """A pub/sub message of one channel. Its event is still encoded."""

    epoch: str
    offset: int
    previous: int
    """Offset of the channel's previous event; 0 if the store knows none."""
    event: bytes


def encode(route: Route) -> bytes:
    """Encode the event and its channels. Readers check that the entry is in one of these channels."""
    event = route.event
    return orjson.dumps((event.id, event.type, event.subject, event.time, event.data, route.channels))


def decode(raw: bytes, *, epoch: str, offset: int) -> Entry:
    """Decode the result of ``encode``. Raises ValueError."""
    try:
        event_id, kind, subject, time, data, channels = orjson.loads(raw)
        cursor = Cursor(epoch, offset, digest(event_id))
        return Entry(cursor, Event(event_id, data, kind, subject, time), tuple(channels))
    except (TypeError, AttributeError):
        raise ValueError("not an encoded event") from None


def decode_message(raw: bytes) -> LiveMessage:
    """Decode a message that the publish script sent. Raises ValueError."""
    head, _, event = raw.partition(b"\n")
    epoch, offset, previous = head.split()
    return LiveMessage(epoch.decode(), int(offset), int(previous), event)
