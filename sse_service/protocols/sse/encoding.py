"""Frames and service events as blocks of an event stream (WHATWG HTML §9.2), in HTTP/1.1's chunked coding."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import orjson

if TYPE_CHECKING:
    from sse_service.streams.frame import Frame
    from sse_service.streams.service_events import ServiceEvent

NAME = "sse"
"""Under which Frames and service events keep their encoding."""

HEARTBEAT = b":\n"
"""A comment without a blank line. Several clients turn a block without data into an event."""

_LINE_END = re.compile(r"\r\n|\n|\r")  # WHATWG HTML §9.2.5; str.splitlines() knows six more


def encode(frame: Frame) -> bytes:
    """Encode an event, chunk-coded, and keep the bytes in the Frame for its other streams.

    The id comes last: a client that is cut off within the block cannot remember an id whose event it has not seen.
    """
    cursor, kind = frame.cursor, frame.type
    head = f"event: {kind}\n" if kind != "message" or frame.event.type is not None else ""
    # The cursor's fields, and not its __str__: that would take as long as everything else here.
    block = f"{head}{_data(frame.event.data)}id: {cursor.epoch}.{cursor.offset}.{cursor.digest}\n\n".encode()
    coded = frame.encodings[NAME] = chunk(block)
    return coded


def encode_service_event(event: ServiceEvent) -> bytes:
    """Encode a service event, chunk-coded, and keep the bytes in it."""
    coded = event.encodings.get(NAME)
    if coded is None:
        coded = event.encodings[NAME] = chunk(block(event))
    return coded


def block(event: ServiceEvent) -> bytes:
    """Encode a service event without a transfer coding."""
    retry = f"retry: {event.retry_ms}\n" if event.retry_ms is not None else ""
    tail = f"id: {event.cursor}\n" if event.cursor else ""
    return f"event: {event.type}\n{retry}{_data(orjson.dumps(event.data).decode())}{tail}\n".encode()


def chunk(block: bytes) -> bytes:
    """Code a block as one chunk (RFC 9112 §7.1), once for all streams and not for each."""
    return b"%x\r\n%b\r\n" % (len(block), block)


def unchunk(coded: bytes) -> bytes:
    """Undo ``chunk``, for a client of HTTP/1.0, which knows no transfer coding."""
    return coded[coded.index(b"\n") + 1 : -2]


def _data(data: str) -> str:
    if "\n" not in data and "\r" not in data:
        return f"data: {data}\n"
    return "".join(f"data: {line}\n" for line in _LINE_END.split(data))
