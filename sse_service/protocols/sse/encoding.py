"""Frames and service events as blocks of an event stream (WHATWG HTML §9.2), in HTTP/1.1's chunked coding."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import orjson

if TYPE_CHECKING:
    from sse_service.streams.frame import Frame
    from sse_service.streams.service_events import ServiceEvent

ENCODING_KEY = "sse"
"""The key of this protocol in ``encodings`` of Frames and service events."""

HEARTBEAT = b":\n"
"""A comment without a blank line after it, because several clients turn a block without data into an event."""

_LINE_END = re.compile(r"\r\n|\n|\r")  # WHATWG HTML §9.2.5; str.splitlines() also splits at six others


def encode(frame: Frame) -> bytes:
    """Encode an event in chunked coding, and keep the bytes in the Frame for other streams.

    The id comes last. So a client that is cut off within the block cannot remember the id of an event it did not get.
    """
    cursor, event = frame.cursor, frame.event
    head = f"event: {frame.type}\n" if event.type is not None else ""
    # The cursor's fields are formatted here and the chunk is made here, because this runs for every event: the
    # cursor's __str__ takes as long as the rest.
    text = f"{head}{_data(event.data)}id: {cursor.epoch}.{cursor.offset}.{cursor.digest}\n\n".encode()
    coded = frame.encodings[ENCODING_KEY] = b"%x\r\n%b\r\n" % (len(text), text)
    return coded


def encode_service_event(event: ServiceEvent) -> bytes:
    """Encode a service event in chunked coding, and keep the bytes in it."""
    coded = event.encodings.get(ENCODING_KEY)
    if coded is None:
        coded = event.encodings[ENCODING_KEY] = chunk(service_event_block(event))
    return coded


def service_event_block(event: ServiceEvent) -> bytes:
    """Encode a service event without chunked coding."""
    retry = f"retry: {event.retry_ms}\n" if event.retry_ms is not None else ""
    tail = f"id: {event.cursor}\n" if event.cursor else ""
    return f"event: {event.type}\n{retry}{_data(orjson.dumps(event.data).decode())}{tail}\n".encode()


def chunk(block: bytes) -> bytes:
    """Encode a block as one chunk (RFC 9112 §7.1). This is done once for all streams."""
    return b"%x\r\n%b\r\n" % (len(block), block)


def unchunk(coded: bytes) -> bytes:
    """Undo ``chunk``. HTTP/1.0 has no chunked coding."""
    return coded[coded.index(b"\n") + 1 : -2]


def _data(data: str) -> str:
    if "\n" not in data and "\r" not in data:
        return f"data: {data}\n"
    return "".join(f"data: {line}\n" for line in _LINE_END.split(data))
