"""The service's own events: ``stream.ready``, ``.gap``, ``.cursor``, ``.close`` and ``.heartbeat``."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import field
from typing import TYPE_CHECKING

from sse_service.model.values import value

if TYPE_CHECKING:
    from sse_service.model.cursor import Cursor
    from sse_service.model.reasons import CloseReason, GapReason


@value
class ServiceEvent:
    """One service event. Streams that get the same one can share it."""

    type: str
    data: Mapping[str, object] = field(hash=False)
    """Sent as JSON."""
    cursor: Cursor | None = None
    """The position up to which the stream is complete; None if this event does not carry one."""
    retry_ms: int | None = None
    """How long the client should wait before it reconnects, in milliseconds."""
    encodings: dict[str, bytes] = field(default_factory=dict, hash=False, compare=False)
    """As in a Frame."""


def ready(*, resumed: bool, user: str, retry_ms: int, cursor: Cursor | None) -> ServiceEvent:
    """The first event of every stream.

    ``cursor`` is given only if the stream starts live: an id must not run ahead of what was written.
    """
    return ServiceEvent("stream.ready", {"resumed": resumed, "user": user}, cursor, retry_ms)


def gap(reason: GapReason, cursor: Cursor) -> ServiceEvent:
    """Events may be missing before the cursor. From the cursor on, the stream is complete."""
    return ServiceEvent("stream.gap", {"reason": reason}, cursor)


def position(cursor: Cursor) -> ServiceEvent:
    """Everything up to the cursor was offered to this stream."""
    return ServiceEvent("stream.cursor", {}, cursor)


def close(reason: CloseReason, *, reconnect: bool, retry_ms: int | None = None) -> ServiceEvent:
    """The last event of a stream. ``reconnect`` is False if the same token would be refused."""
    return ServiceEvent("stream.close", {"reason": reason, "reconnect": reconnect}, None, retry_ms)


def heartbeat(seconds: int) -> ServiceEvent:
    """The heartbeat of a client that asked for events. ``seconds`` is the longest silence of a working stream."""
    return ServiceEvent("stream.heartbeat", {"seconds": seconds})
