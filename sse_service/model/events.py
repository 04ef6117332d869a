"""Events, and the channels that they go to."""

from __future__ import annotations

from dataclasses import field

from sse_service.model.values import value

BROADCAST = "broadcast"
"""The channel that every user receives."""


def user_channel(user: str) -> str:
    """Return the channel of one user.

    Everything after the first colon is the user id, so no user id can name a channel of another kind.
    """
    return f"user:{user}"


def group_channel(group: str) -> str:
    """Return the channel of one group."""
    return f"group:{group}"


@value
class Event:
    """One event to show to users."""

    id: str
    """The producer's id. Duplicates are recognised by it."""
    data: str
    type: str | None = None
    """The event's type. A browser dispatches an event without a type as ``message``."""
    subject: str | None = None
    """The upload or job that the event is about."""
    time: str | None = None
    """When the event was published (RFC 3339)."""
    trace: str | None = field(default=None, compare=False)
    """The span that published the event, as a W3C ``traceparent``, if its trace is sampled.

    A broker keeps it with the event. Clients never see it.
    """


@value
class Route:
    """One Event and the channels it goes to."""

    event: Event
    channels: tuple[str, ...]
