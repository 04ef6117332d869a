"""Events, and whole answers to polls, as JSON."""

from __future__ import annotations

from typing import TYPE_CHECKING

import orjson

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sse_service.model.cursor import Cursor
    from sse_service.streams.frame import Frame

ENCODING_KEY = "polling"
"""The key of this protocol in ``encodings`` of Frames."""


def encode(frame: Frame) -> bytes:
    """Encode an event, and keep the bytes in the Frame for other polls."""
    event = frame.event
    kind = None if event.type is None else frame.type
    coded = frame.encodings[ENCODING_KEY] = orjson.dumps({"id": str(frame.cursor), "type": kind, "data": event.data})
    return coded


def encode_answer(
    events: Sequence[bytes], *, cursor: Cursor, gap: str | None, resumed: bool, user: str, more: bool
) -> bytes:
    """Make the body of an answer. ``events`` are encoded already."""
    rest = {"cursor": str(cursor), "gap": gap, "resumed": resumed, "user": user, "more": more}
    return b'{"events":[%b],%b' % (b",".join(events), orjson.dumps(rest)[1:])
