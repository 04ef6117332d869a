"""A position in the broker's order, and whether a stream can continue from it."""

from __future__ import annotations

import re
import secrets
from hashlib import blake2b

from sse_service.model.reasons import GapReason
from sse_service.model.values import value

MAX_LENGTH = 64
"""Maximum length of a cursor. Browsers preflight a cross-origin ``Last-Event-ID`` of more than 128 bytes."""

_FORM = re.compile(r"([A-Za-z0-9_-]{1,24})\.(\d{1,18})\.(0|[0-9a-f]{16})", re.ASCII)

_EMPTY_HASH = blake2b(digest_size=8)  # copying it takes half as long as making a new one

_EPOCH = re.compile(r"([0-9a-f]{1,15})-[0-9a-f]{8}")


@value
class Cursor:
    """``epoch.offset.digest``; opaque to clients."""

    epoch: str
    """Names one life of a broker's store."""
    offset: int
    """Microseconds of the store's clock, raised where needed so that no two events share one."""
    digest: str = "0"
    """64 bits of a hash of the Event's id, in hexadecimal; ``0`` if the position is not an Event's."""

    def __str__(self) -> str:
        return f"{self.epoch}.{self.offset}.{self.digest}"


def digest(event_id: str) -> str:
    """Return the digest of an event's id, as in its cursor."""
    hash_ = _EMPTY_HASH.copy()
    hash_.update(event_id.encode())
    return hash_.hexdigest()


def new_epoch(began: int) -> str:
    """Make the name of a new epoch: the offset at which it begins, in hexadecimal, and 32 random bits."""
    return f"{began:x}-{secrets.token_hex(4)}"


def epoch_start(epoch: str) -> int:
    """Return the offset at which an epoch began; 0 if its name does not contain one."""
    match = _EPOCH.fullmatch(epoch)
    return int(match[1], 16) if match else 0


def seconds_before(position: Cursor, seconds: int) -> Cursor:
    """Return the position this many seconds earlier.

    If that is before the epoch began, the result has an epoch that never existed, so that it is a gap.
    """
    if not seconds:
        return position
    offset = max(position.offset - seconds * 1_000_000, 0)
    return Cursor(position.epoch if offset >= epoch_start(position.epoch) else "before", offset)


def parse(text: str) -> Cursor | None:
    """Parse the text form of a Cursor; None if the text is not one."""
    match = _FORM.fullmatch(text) if len(text) <= MAX_LENGTH else None
    return Cursor(match[1], int(match[2]), match[3]) if match else None


def find_gap(cursor: Cursor | None, *, position: Cursor, floor: int, age_seconds: float) -> GapReason | None:
    """Return why the cursor cannot be continued; None if nothing after it can be missing.

    ``position`` is the store's newest, ``floor`` the highest offset removed from any of the stream's channels, and
    ``age_seconds`` the age at which History removes events. ``cursor`` is None if the client's could not be read.
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
