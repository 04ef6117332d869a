"""Frames and service events as JSON messages, in the frames of RFC 6455 §5.2."""

from __future__ import annotations

from typing import TYPE_CHECKING

import orjson

if TYPE_CHECKING:
    from sse_service.streams.frame import Frame
    from sse_service.streams.service_events import ServiceEvent

ENCODING_KEY = "websocket"
"""The key of this protocol in ``encodings`` of Frames and service events."""

PING = b"\x89\x00"
"""A ping without payload."""

_TEXT = 0x81  # a text message in one frame
_SHORT, _16_BIT, _64_BIT = 125, 126, 127  # payload lengths, and the marks of longer ones


def encode(frame: Frame) -> bytes:
    """Encode an event as a text message, and keep the bytes in the Frame for other sockets."""
    event = frame.event
    message = {"event": frame.type} if event.type is not None else {}
    message["data"] = event.data
    message["id"] = str(frame.cursor)
    coded = frame.encodings[ENCODING_KEY] = text_message(orjson.dumps(message))
    return coded


def encode_service_event(event: ServiceEvent) -> bytes:
    """Encode a service event as a text message, and keep the bytes in it."""
    coded = event.encodings.get(ENCODING_KEY)
    if coded is None:
        message: dict[str, object] = {"event": event.type, "data": orjson.dumps(event.data).decode()}
        if event.cursor is not None:
            message["id"] = str(event.cursor)
        if event.retry_ms is not None:
            message["retry"] = event.retry_ms
        coded = event.encodings[ENCODING_KEY] = text_message(orjson.dumps(message))
    return coded


def text_message(payload: bytes) -> bytes:
    """Put a header before a text. A server does not mask, so all clients can get the same bytes (RFC 6455 §5.1)."""
    size = len(payload)
    if size <= _SHORT:
        return bytes((_TEXT, size)) + payload
    if size < 1 << 16:
        return bytes((_TEXT, _16_BIT)) + size.to_bytes(2) + payload
    return bytes((_TEXT, _64_BIT)) + size.to_bytes(8) + payload
