"""Frames and service events as text messages (RFC 6455 §5.6), each with the fields of an event stream's block."""

from __future__ import annotations

from typing import TYPE_CHECKING

import orjson
from websockets.frames import Frame as Message
from websockets.frames import Opcode

if TYPE_CHECKING:
    from sse_service.streams.frame import Frame
    from sse_service.streams.service_events import ServiceEvent

ENCODING_KEY = "websocket"
"""The key of this protocol in ``encodings`` of Frames and service events."""

PING = Message(Opcode.PING, b"").serialize(mask=False)
"""The heartbeat. Code in a page cannot see it."""


def encode(frame: Frame) -> bytes:
    """Encode an event as one message, and keep the bytes in the Frame for other sockets."""
    fields = {"data": frame.event.data, "id": str(frame.cursor)}
    if frame.event.type is not None:
        fields = {"event": frame.type, **fields}
    coded = frame.encodings[ENCODING_KEY] = _message(fields)
    return coded


def encode_service_event(event: ServiceEvent) -> bytes:
    """Encode a service event as one message, and keep the bytes in it."""
    coded = event.encodings.get(ENCODING_KEY)
    if coded is None:
        fields: dict[str, str | int] = {"event": event.type, "data": orjson.dumps(event.data).decode()}
        if event.cursor is not None:
            fields["id"] = str(event.cursor)
        if event.retry_ms is not None:
            fields["retry"] = event.retry_ms
        coded = event.encodings[ENCODING_KEY] = _message(fields)
    return coded


def _message(fields: dict[str, str] | dict[str, str | int]) -> bytes:
    # What a server sends is not masked (RFC 6455 §5.1), so all sockets can share the bytes.
    return Message(Opcode.TEXT, orjson.dumps(fields)).serialize(mask=False)
