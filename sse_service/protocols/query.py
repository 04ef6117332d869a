"""Query parameters of a request for events, for all protocols: ``since``, ``types``, ``lastEventId`` and others."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from sse_service.model import cursor as cursors
from sse_service.model import durations
from sse_service.streams.filter import Filter
from sse_service.streams.start import LIVE, Start

if TYPE_CHECKING:
    from starlette.datastructures import QueryParams

CURSOR_NAMES = ("lastEventId", "last_event_id", "lastEventID")
"""Query parameters of clients that cannot set the header: Yaffle's polyfill, Mercure 1, Mercure 0."""

MAX_WAIT_SECONDS = 50
"""An ALB cuts a request that has no answer for 60 s."""

_WAIT = re.compile(r"\d{1,2}", re.ASCII)
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")


def read_start(query: QueryParams, *, last_event_id: str) -> Start:
    """Read where the stream begins. The header ``Last-Event-ID`` wins over CURSOR_NAMES, and these over ``since``.

    An unreadable Last-Event-ID is not refused: it leads to a gap. Raises ValueError if ``since`` is given twice, or is
    neither ``all``, nor a cursor, nor a time such as ``30s``, ``10m``, ``2h`` or ``1d``.
    """
    since = _single(query, "since")
    start = _parse_since(since) if since is not None else LIVE
    given = last_event_id or next((query[name] for name in CURSOR_NAMES if query.get(name)), "")
    return Start(resumes=True, cursor=cursors.parse(given)) if given else start


def read_filter(query: QueryParams) -> Filter | None:
    """Read which events the client asks for; None means all.

    Repeated ``types`` are united, and blanks around a name are dropped. Raises ValueError for an empty name, a control
    character, and a second ``subject``.
    """
    type_lists, subject = query.getlist("types"), _single(query, "subject")
    if not type_lists and subject is None:
        return None
    names = [name.strip(" ") for text in type_lists for name in text.split(",")]
    for field, values in (("types", names), ("subject", [subject] if subject is not None else [])):
        if any(not value or _CONTROL.search(value) for value in values):
            raise ValueError(f"{field} must not be empty and must not contain control characters")
    return Filter(types=frozenset(names), subject=subject)


def asks_for_heartbeat_events(query: QueryParams) -> bool:
    """Read whether heartbeats should be events: code in a page cannot see the comment that they are otherwise.

    Raises ValueError if ``heartbeat`` is given twice, or is not ``event``.
    """
    text = _single(query, "heartbeat")
    if text not in (None, "event"):
        raise ValueError("heartbeat must be 'event', or must not be given")
    return text is not None


def read_wait(query: QueryParams) -> int:
    """Read how many seconds a poll may wait for an event.

    Raises ValueError if ``wait`` is given twice, or is not an integer from 0 to MAX_WAIT_SECONDS.
    """
    text = _single(query, "wait")
    if text is None:
        return 0
    if not _WAIT.fullmatch(text) or int(text) > MAX_WAIT_SECONDS:
        raise ValueError(f"wait must be an integer from 0 to {MAX_WAIT_SECONDS}, in seconds")
    return int(text)


def _single(query: QueryParams, name: str) -> str | None:
    values = query.getlist(name)
    if len(values) > 1:
        raise ValueError(f"{name} must be given once")
    return values[0] if values else None


def _parse_since(text: str) -> Start:
    if text == "all":
        return Start(everything=True)
    if (ago_seconds := durations.parse(text)) is not None:
        return Start(ago_seconds=ago_seconds)
    if (found := cursors.parse(text)) is not None:
        return Start(resumes=True, cursor=found)
    raise ValueError("since must be a cursor, 'all', or a time such as 30s, 10m, 2h or 1d")
