"""A position in the broker's order, and whether a stream may go on from it."""

from __future__ import annotations

import re
import secrets
from hashlib import blake2b

from sse_service.model.reasons import GapReason
from sse_service.model.values import value

MAX_LENGTH = 64
"""Characters of a cursor; browsers preflight a cross-origin ``Last-Event-ID`` of more than 128 bytes."""

_FORM = re.compile(r"([A-Za-z0-9_-]{1,24})\.(\d{1,18})\.(0|[0-9a-f]{16})", re.ASCII)

_UNFED = blake2b(digest_size=8)  # a copy takes half the time of a new one

_EPOCH = re.compile(r"([0-9a-f]{1,15})-[0-9a-f]{8}")


@value
class Cursor:
    """``epoch.offset.digest``; opaque to clients."""

    epoch: str
    """One life of a broker's store."""
    offset: int
    """Microseconds of the store's clock, raised where needed so that no two are equal."""
    digest: str = "0"
    """64 bits of a hash of the Event's id, in hexadecimal; ``0`` where the position is no Event's."""

    def __str__(self) -> str:
        return f"{self.epoch}.{self.offset}.{self.digest}"


def digest(event_id: str) -> str:
    """The last field of an Event's cursor."""
    hash_ = _UNFED.copy()
    hash_.update(event_id.encode())
    return hash_.hexdigest()


def new_epoch(began: int) -> str:
    """Name a life of a store: the offset at which it began, in hexadecimal, and 32 random bits."""
    return f"{began:x}-{secrets.token_hex(4)}"


def began(epoch: str) -> int:
    """The offset at which the life began; 0 where its name does not say."""
    match = _EPOCH.fullmatch(epoch)
    return int(match[1], 16) if match else 0


def ago(position: Cursor, seconds: int) -> Cursor:
    """The position so long before another; before the life's beginning, one of no life."""
    if not seconds:
        return position
    offset = max(position.offset - seconds * 1_000_000, 0)
    return Cursor(position.epoch if offset >= began(position.epoch) else "before", offset)


def parse(text: str) -> Cursor | None:
    """Read what ``str`` of a Cursor wrote; None for anything else."""
    match = _FORM.fullmatch(text) if len(text) <= MAX_LENGTH else None
    return Cursor(match[1], int(match[2]), match[3]) if match else None


def judge(cursor: Cursor | None, *, position: Cursor, floor: int, age_seconds: float) -> GapReason | None:
    """Why the cursor cannot be continued; None where nothing after it can be missing.

    ``position`` is the store's newest, ``floor`` the highest offset removed from any of the stream's channels.
    A None for the cursor stands for one that could not be read.
    """
    if cursor is None:
        return GapReason.UNKNOWN
    if cursor.epoch != position.epoch:
        return GapReason.EPOCH
    if cursor.offset > position.offset:
        return GapReason.UNKNOWN
    if position.offset - cursor.offset > age_seconds * 1_000_000:
        return GapReason.EXPIRED
    return GapReason.TRIMMED if cursor.offset < floor else None
