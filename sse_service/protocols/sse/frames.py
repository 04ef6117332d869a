"""Encodes events and service events as WHATWG event-stream blocks."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import orjson

from sse_service.model.values import value

if TYPE_CHECKING:
    from sse_service.model.cursor import Cursor
    from sse_service.model.events import Event
    from sse_service.model.reasons import GapReason

HEARTBEAT = b":\n"
"""A comment without a blank line: several clients turn a block without data into a phantom event."""

_LINE_END = re.compile(r"\r\n|\n|\r")  # WHATWG HTML §9.2.5; str.splitlines() knows six more
_RESERVED = frozenset({"open", "error"})  # an EventSource's own handlers would fire


@value
class Frame:
    """One Event as all its streams get it: encoded once per process."""

    cursor: Cursor
    offset: int
    """The cursor's; here because every stream asks for it."""
    type: str
    """As an EventSource calls it: ``message`` where the event has no name."""
    subject: str | None
    chunk: bytes
    """The block, chunk-coded."""


def frame(item: Event, cursor: Cursor) -> Frame:
    """Encode an Event for all its streams."""
    kind = delivered_type(item.type)
    return Frame(cursor, cursor.offset, kind or "message", item.subject, chunk(_event(kind, item.data, cursor)))


def chunk(block: bytes) -> bytes:
    """The block in HTTP/1.1's chunked coding (RFC 9112 §7.1), so that it is coded once and not per stream."""
    return b"%x\r\n%b\r\n" % (len(block), block)


def unchunk(coded: bytes) -> bytes:
    """What ``chunk`` coded, for a client of HTTP/1.0, which knows no transfer coding."""
    return coded[coded.index(b"\n") + 1 : -2]


def delivered_type(name: str | None) -> str | None:
    """A publisher's type as the browser sees it: ``event.`` keeps it apart from ours and EventSource's own."""
    if name is not None and (name in _RESERVED or name.startswith("stream.")):
        return f"event.{name}"
    return name


def event(item: Event, cursor: Cursor) -> bytes:
    """The block of an Event; its id comes last, so that a cut cannot skip the event."""
    return _event(delivered_type(item.type), item.data, cursor)


def _event(kind: str | None, data: str, cursor: Cursor) -> bytes:
    head = f"event: {kind}\n" if kind else ""
    # The cursor's text written out: by its ``__str__`` it takes as long as all the rest
    return f"{head}{_data(data)}id: {cursor.epoch}.{cursor.offset}.{cursor.digest}\n\n".encode()


def ready(*, resumed: bool, user: str, retry_ms: int, cursor: Cursor | None = None) -> bytes:
    """``stream.ready``; has an id only where the stream starts live."""
    return _block("stream.ready", _json({"resumed": resumed, "user": user}), cursor=cursor, retry_ms=retry_ms)


def gap(reason: GapReason, cursor: Cursor) -> bytes:
    """``stream.gap`` with the position from which all that follows is complete."""
    return _block("stream.gap", _json({"reason": reason.value}), cursor=cursor)


def position(cursor: Cursor) -> bytes:
    """``stream.cursor``: all up to here was offered to this stream."""
    return _block("stream.cursor", "{}", cursor=cursor)


def close(reason: str, *, reconnect: bool, retry_ms: int | None = None) -> bytes:
    """``stream.close``, the last block of a stream."""
    return _block("stream.close", _json({"reason": reason, "reconnect": reconnect}), retry_ms=retry_ms)


def data_size(data: str) -> int:
    """Bytes of the encoded ``data:`` lines."""
    return len(_data(data).encode())


def _data(data: str) -> str:
    if "\n" not in data and "\r" not in data:
        return f"data: {data}\n"
    return "".join(f"data: {line}\n" for line in _LINE_END.split(data))


def _block(kind: str | None, data: str, *, cursor: Cursor | None = None, retry_ms: int | None = None) -> bytes:
    head = f"event: {kind}\n" if kind else ""
    retry = f"retry: {retry_ms}\n" if retry_ms is not None else ""
    tail = f"id: {cursor}\n" if cursor else ""
    return f"{head}{retry}{_data(data)}{tail}\n".encode()


def _json(value: object) -> str:
    return orjson.dumps(value).decode()
