"""Where a client wants its stream to begin."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sse_service.model.values import value

if TYPE_CHECKING:
    from sse_service.model.cursor import Cursor


@value
class Start:
    """The defaults mean a stream that begins live."""

    resumes: bool = False
    """Whether the client gave a cursor, even an unreadable one."""
    cursor: Cursor | None = None
    """The client's cursor; None if there was none or it could not be read."""
    everything: bool = False
    """Whether to replay everything that History holds."""
    ago_seconds: int | None = None
    """How far back to replay, in seconds; None if the client gave no time."""

    @property
    def live(self) -> bool:
        """Whether the stream begins without a replay."""
        return not (self.resumes or self.everything or self.ago_seconds is not None)


LIVE = Start()
