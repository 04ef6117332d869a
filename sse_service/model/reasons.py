"""Why things end, are refused or may be incomplete: the one list of each, which code, metrics, docs and tests read."""

from __future__ import annotations

from enum import StrEnum


class GapReason(StrEnum):
    """Why a cursor cannot be continued without a possible loss."""

    EPOCH = "epoch"
    """The store began another life."""
    EXPIRED = "expired"
    """The cursor is older than the History's age."""
    TRIMMED = "trimmed"
    """Events after the cursor were removed from the History."""
    UNKNOWN = "unknown"
    """The cursor is malformed, or lies in the future."""
    LOST = "lost"
    """The History overtook a stream that was reading it."""


class CloseReason(StrEnum):
    """Why the server ended a stream."""

    DRAIN = "drain"
    SLOW = "slow"
    EXPIRED = "expired"
    LIMIT = "limit"
    MAX_AGE = "max_age"
    ERROR = "error"


class RefusalReason(StrEnum):
    """Why a request got no stream."""

    UNAUTHORIZED = "unauthorized"
    """401"""
    FORBIDDEN = "forbidden"
    """403"""
    INVALID = "invalid"
    """400"""
    LIMIT = "limit"
    """Overload: the task holds as many streams as it may."""
    USER = "user"
    """Overload: the user holds as many streams as one may."""
    ADDRESS = "address"
    """Overload: the address holds as many streams as one may."""
    RATE = "rate"
    """Overload: streams are being opened too fast."""
    DRAIN = "drain"
    """Overload: the task is ending."""
