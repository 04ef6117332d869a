"""Why the server ended a stream."""

from __future__ import annotations

import enum


class CloseReason(enum.Enum):
    """Why the server ended a stream."""

    DRAIN = "drain"
    SLOW = "slow"
    EXPIRED = "expired"
    LIMIT = "limit"
    MAX_AGE = "max_age"
    ERROR = "error"
