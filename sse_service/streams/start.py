"""Where a client wants its stream to begin."""

from __future__ import annotations

import re

from sse_service.model import cursor as cursors
from sse_service.model.cursor import Cursor
from sse_service.model.values import value

_AGO = re.compile(r"(\d{1,9})([smhd])", re.ASCII)
_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86_400}


@value
class Start:
    """Live from now on, unless a field says otherwise."""

    resumes: bool = False
    """The client gave a cursor, readable or not."""
    cursor: Cursor | None = None
    """The one it gave; None where it could not be read."""
    held: bool = False
    """All that is held, whether or not it is all there was."""
    ago_seconds: int | None = None

    @property
    def live(self) -> bool:
        """Whether nothing is to be replayed."""
        return not (self.resumes or self.held or self.ago_seconds is not None)


_LIVE = Start()


def read(*, last_event_id: str | None, since: str | None) -> Start:
    """Read a ``Last-Event-ID``, which wins and is never refused, and ``since``.

    Raises ValueError for a ``since`` that is no cursor, not ``all``, and no time as ``30s``, ``10m``, ``2h``, ``1d``.
    """
    begin = _since(since) if since is not None else _LIVE
    if last_event_id:
        return Start(resumes=True, cursor=cursors.parse(last_event_id))
    return begin


def _since(text: str) -> Start:
    if text == "all":
        return Start(held=True)
    if match := _AGO.fullmatch(text):
        return Start(ago_seconds=int(match[1]) * _SECONDS[match[2]])
    if (found := cursors.parse(text)) is not None:
        return Start(resumes=True, cursor=found)
    raise ValueError("since must be a cursor, 'all', or a time as 30s, 10m, 2h or 1d")
