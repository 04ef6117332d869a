"""The encoding of events in Valkey, in the histories of channels and in pub/sub messages."""

from __future__ import annotations

from typing import TYPE_CHECKING

import orjson

from sse_service.brokers.base import Entry
from sse_service.model.cursor import Cursor, digest
from sse_service.model.events import Event

if TYPE_CHECKING:
    from sse_service.model.events import Route


TRACE = "trace:"
"""How the last of the encoded channels begins if it is not a channel, but the event's trace.

An earlier version reads it as one more channel, to which nobody can subscribe: a new field it would not understand."""


def encode(route: Route) -> bytes:
    """Encode the event and its channels. Readers check that the entry is in one of these channels."""
    event, channels = route.event, route.channels
    if event.trace is not None:
        channels = (*channels, TRACE + event.trace)
    return orjson.dumps((event.id, event.type, event.subject, event.time, event.data, channels))


def decode(raw: bytes, *, epoch: str, offset: int) -> Entry:
    """Decode the result of ``encode``. Raises ValueError."""
    try:
        event_id, kind, subject, time, data, channels = orjson.loads(raw)
        cursor = Cursor(epoch, offset, digest(event_id))
        trace = None
        if len(channels) > 1 and channels[-1].startswith(TRACE):
            trace = channels.pop().removeprefix(TRACE)
        return Entry(cursor, Event(event_id, data, kind, subject, time, trace), tuple(channels))
    except (TypeError, AttributeError):
        raise ValueError("not an encoded event") from None


def decode_message(raw: bytes) -> tuple[str, int, int, bytes]:
    """Decode a message that the publish script sent. Raises ValueError.

    Returns the epoch, the offset, the offset of the channel's previous event, which is 0 if the store knows none, and
    the encoded event.
    """
    head, _, event = raw.partition(b"\n")
    epoch, offset, previous = head.split()
    return epoch.decode(), int(offset), int(previous), event
