"""Where a client wants its stream to begin."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sse_service.model.values import value

if TYPE_CHECKING:
    from sse_service.model.cursor import Cursor


@value
class Start:
    """Without any field set, the stream begins live."""

    resumes: bool = False
    """The client gave a cursor, readable or not."""
    cursor: Cursor | None = None
    """The cursor that the client gave; None where it could not be read."""
    held: bool = False
    """Everything that History holds, whether or not more came before."""
    ago_seconds: int | None = None
    """Everything since so many seconds ago."""

    @property
    def live(self) -> bool:
        """Whether nothing is replayed."""
        return not (self.resumes or self.held or self.ago_seconds is not None)


LIVE = Start()
