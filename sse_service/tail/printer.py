"""Prints events: a line each for a person, or a JSON object each for a program."""

from __future__ import annotations

import json
import shutil
import unicodedata
from datetime import UTC, datetime
from typing import TYPE_CHECKING, TextIO

from sse_service.model.text import printable

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from sse_service.tail.blocks import Block

DIM, YELLOW, CYAN = "\x1b[2m", "\x1b[33m", "\x1b[36m"
_RESET = "\x1b[0m"
_COLOURS = {"stream.gap": YELLOW, "stream.close": YELLOW}

_FOR_PEOPLE = ("stream.ready", "stream.gap", "stream.close")
"""The service events that tell a person something."""


class OutputClosed(Exception):  # noqa: N818  what happened, not a fault
    """Nothing can be printed any more. After ``| head``, the cause is a BrokenPipeError."""


class Printer:
    """Prints to one file. Colours, and lines no wider than the terminal, only if it is one."""

    def __init__(
        self,
        out: TextIO,
        *,
        as_json: bool,
        environment: Mapping[str, str],
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._out = out
        self._as_json = as_json
        self._now = now
        self._is_terminal = out.isatty()
        # https://no-color.org
        self._colours = self._is_terminal and not environment.get("NO_COLOR")

    def print(self, block: Block) -> None:
        """Print one block. A person does not see service events that tell only programs something.

        Raises OutputClosed.
        """
        if not self._as_json and block.event.startswith("stream.") and block.event not in _FOR_PEOPLE:
            return
        try:
            print(self._json(block) if self._as_json else self._line(block), file=self._out, flush=True)
        except OSError as error:
            raise OutputClosed from error

    def _json(self, block: Block) -> str:
        time = self._now().isoformat(timespec="milliseconds").replace("+00:00", "Z")
        fields = {"time": time, "event": block.event, "data": block.data, "id": block.id, "retry": block.retry_ms}
        is_unicode = (self._out.encoding or "").lower().startswith("utf")
        return json.dumps(
            {name: value for name, value in fields.items() if value is not None}, ensure_ascii=not is_unicode
        )

    def _line(self, block: Block) -> str:
        time = self._now().astimezone().strftime("%H:%M:%S.%f")[:-3]
        event, data = printable(block.event), printable(block.data)
        if self._is_terminal:
            columns = shutil.get_terminal_size().columns - len(time) - 4
            event = _fit(event, columns)
            data = _fit(data, columns - sum(map(_columns, event)))
        if not self._colours:
            return f"{time}  {event}  {data}"
        if block.event.startswith("stream."):
            return f"{_COLOURS.get(block.event, DIM)}{time}  {event}  {data}{_RESET}"
        return f"{DIM}{time}{_RESET}  {CYAN}{event}{_RESET}  {data}"


def _fit(text: str, columns: int) -> str:
    """Cut a text to the columns of a terminal."""
    # No character is wider than two columns.
    if len(text) * 2 <= columns or sum(map(_columns, text)) <= columns:
        return text
    # The ellipsis needs a column.
    used, end = 1, 0
    for char in text:
        used += _columns(char)
        if used > columns:
            break
        end += 1
    return f"{text[:end]}…" if columns > 0 else ""


def _columns(char: str) -> int:
    if unicodedata.combining(char):
        return 0
    return 2 if unicodedata.east_asian_width(char) in "WF" else 1
