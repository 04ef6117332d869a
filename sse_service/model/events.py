"""What is shown to a user, and the channels it goes to."""

from __future__ import annotations

from sse_service.model.values import value

BROADCAST = "broadcast"
"""The channel of everyone."""


def user_channel(user: str) -> str:
    """The channel of one user; the first colon ends the kind, so no user id can name another channel."""
    return f"user:{user}"


def group_channel(group: str) -> str:
    """The channel of one group."""
    return f"group:{group}"


@value
class Event:
    """One thing to show."""

    id: str
    """The producer's id, by which copies are recognised."""
    data: str
    type: str | None = None
    """As delivered; None is an event without a name, which a browser calls ``message``."""
    subject: str | None = None
    """The upload or job it is about."""
    time: str | None = None
    """When it was published, RFC 3339."""


@value
class Route:
    """One Event and the channels it goes to."""

    event: Event
    channels: tuple[str, ...]
