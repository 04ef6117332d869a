"""What the service itself tells a client: ``stream.ready``, ``stream.gap``, ``stream.cursor``, ``stream.close``."""

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
    """One service event. It is shared where several streams are told the same."""

    type: str
    data: Mapping[str, object] = field(hash=False)
    """What becomes JSON."""
    cursor: Cursor | None = None
    """The position up to which the stream is complete; None where the event says nothing of it."""
    retry_ms: int | None = None
    """When the client should come back after the stream has ended, in milliseconds."""
    encodings: dict[str, bytes] = field(default_factory=dict, hash=False, compare=False)
    """As in a Frame."""


def ready(*, resumed: bool, user: str, retry_ms: int, cursor: Cursor | None) -> ServiceEvent:
    """First on every stream. ``cursor`` is given only where the stream starts live: an id must not run ahead."""
    return ServiceEvent("stream.ready", {"resumed": resumed, "user": user}, cursor, retry_ms)


def gap(reason: GapReason, cursor: Cursor) -> ServiceEvent:
    """Events may be missing. Everything that follows is complete from the cursor on."""
    return ServiceEvent("stream.gap", {"reason": reason}, cursor)


def position(cursor: Cursor) -> ServiceEvent:
    """Everything up to the cursor was offered to this stream."""
    return ServiceEvent("stream.cursor", {}, cursor)


def close(reason: CloseReason, *, reconnect: bool, retry_ms: int | None = None) -> ServiceEvent:
    """The last of a stream. Without ``reconnect`` the same token would only be refused again."""
    return ServiceEvent("stream.close", {"reason": reason, "reconnect": reconnect}, None, retry_ms)
