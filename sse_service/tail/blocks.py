"""What a service sends, in whatever protocol: blocks, and the end of a connection."""

from __future__ import annotations

import codecs
import re

from sse_service.model.values import value

_LINE = re.compile(r"(.*?)(\r\n|\n|\r(?!$))", re.DOTALL)


@value
class Block:
    """One event, or one of the service's own."""

    event: str
    data: str
    id: str | None = None
    retry_ms: int | None = None


class Lost(Exception):  # noqa: N818  a name for what happened, not for a fault of ours
    """The connection ended, or could not be made. The client should try again."""

    def __init__(self, why: str, *, retry_seconds: float | None = None) -> None:
        super().__init__(why)
        self.retry_seconds = retry_seconds


class Refused(Exception):  # noqa: N818  the service's answer, not a fault of ours
    """The service refuses this request, and would refuse it again."""


class StreamParser:
    """Parses an event stream (WHATWG HTML §9.2.6), in parts of any size."""

    def __init__(self) -> None:
        self._decoder = codecs.getincrementaldecoder("utf-8-sig")("replace")
        self._rest = ""
        self._event = ""
        self._data: list[str] = []
        self._id: str | None = None
        self._retry_ms: int | None = None

    def feed(self, data: bytes) -> list[Block]:
        """Return the blocks that these bytes complete."""
        text = self._rest + self._decoder.decode(data)
        blocks, end = [], 0
        # A CR at the end may be the first half of a line end.
        for match in _LINE.finditer(text):
            end = match.end()
            if (block := self._take(match[1])) is not None:
                blocks.append(block)
        self._rest = text[end:]
        return blocks

    def _take(self, line: str) -> Block | None:
        if not line:
            event, lines, retry_ms = self._event, self._data, self._retry_ms
            self._event, self._data, self._retry_ms = "", [], None
            return Block(event or "message", "\n".join(lines), self._id, retry_ms) if lines else None
        name, _, text = line.partition(":")
        text = text.removeprefix(" ")
        match name:
            case "event":
                self._event = text
            case "data":
                self._data.append(text)
            case "id" if "\0" not in text:
                self._id = text
            case "retry" if text.isascii() and text.isdigit():
                self._retry_ms = int(text[:9])
        return None
