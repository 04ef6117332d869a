"""Reasons for gaps, closed streams, refused requests and rejected messages. Metrics, docs and tests use these lists."""

from __future__ import annotations

from enum import StrEnum


class GapReason(StrEnum):
    """Why a cursor cannot be continued without a possible loss."""

    EPOCH = "epoch"
    """The cursor belongs to another life of the store, or lies before its beginning."""
    EXPIRED = "expired"
    """The cursor is older than the History's age."""
    TRIMMED = "trimmed"
    """Events after the cursor were removed from the History."""
    UNKNOWN = "unknown"
    """The cursor is malformed, or lies in the future."""
    LOST = "lost"
    """Events were lost in mid-stream, for example removed before a slow stream had read them."""


class CloseReason(StrEnum):
    """Why the server ended a stream."""

    DRAIN = "drain"
    SLOW = "slow"
    EXPIRED = "expired"
    LIMIT = "limit"
    MAX_AGE = "max_age"
    ERROR = "error"
    REVOKED = "revoked"


class RefusalReason(StrEnum):
    """Why a request got no stream."""

    UNAUTHORIZED = "unauthorized"
    """401: the credential is missing or invalid."""
    FORBIDDEN = "forbidden"
    """403: the credential is not allowed here."""
    INVALID = "invalid"
    """400: the query is malformed."""
    LIMIT = "limit"
    """Overload: the task has reached its limit of streams."""
    USER = "user"
    """Overload: the user has reached the limit of streams per user."""
    ADDRESS = "address"
    """Overload: the address has reached the limit of streams per address."""
    RATE = "rate"
    """Overload: streams are being opened too fast."""
    DRAIN = "drain"
    """Overload: the task is ending."""
    IDENTITY = "identity"
    """Overload: the credential cannot be checked now, because the provider's keys or the authorizer are unavailable."""


class RejectionReason(StrEnum):
    """Why a message cannot be routed. ``consumers.errors.ConsumerReason`` has the reasons that the consumer finds."""

    BROADCAST = "broadcast"
    """The attribute ``broadcast`` is neither true nor false, or its override gave neither a boolean nor a string."""
    ID = "id"
    """The event's id is missing, of another type, or contains a control character."""
    NAMES = "names"
    """A user or group is not a string or an integer, has white space around it, or there are more than 100."""
    NOT_JSON = "not_json"
    """The message names no user, group or broadcast: it has no message attributes, and its body is not JSON."""
    OVERRIDE = "override"
    """An override's expression failed on this message."""
    S3 = "s3"
    """A record of an S3 notification has no key, or is not from S3."""
    SIZE = "size"
    """The encoded ``data:`` lines are longer than ``SSE_MAX_EVENT_BYTES``."""
    SUBJECT = "subject"
    """The subject is not a string, or contains a control character."""
    TIME = "time"
    """The ``eventTime`` of an S3 record is not a string, or contains a control character."""
    TYPE = "type"
    """The event's type is not a string, or contains a control character."""
    UNROUTED = "unrouted"
    """The message names no user, group or broadcast."""


class DropReason(StrEnum):
    """Why an event was delivered to nobody."""

    UNROUTED = "unrouted"
    """It names no user, group or broadcast, and ``SSE_UNROUTED`` is ``discard`` or other records of its message do."""
    MISDIRECTED = "misdirected"
    """The store holds it in a channel to which it was not published."""
