"""Prints events: a line each for a person, or a JSON object each for a program."""

from __future__ import annotations

import json
import shutil
from datetime import UTC, datetime
from typing import TYPE_CHECKING, TextIO

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from sse_service.tail.blocks import Block

DIM, YELLOW, CYAN = "\x1b[2m", "\x1b[33m", "\x1b[36m"
_RESET = "\x1b[0m"
_COLOURS = {"stream.gap": YELLOW, "stream.close": YELLOW}


class OutputClosed(Exception):  # noqa: N818  what happened, not a fault
    """Nobody reads the output any more, as after ``| head``."""


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
        """Print one block. Raises OutputClosed."""
        try:
            print(self._json(block) if self._as_json else self._line(block), file=self._out, flush=True)
        except BrokenPipeError:
            raise OutputClosed from None

    def _json(self, block: Block) -> str:
        time = self._now().isoformat(timespec="milliseconds").replace("+00:00", "Z")
        fields = {"time": time, "event": block.event, "data": block.data, "id": block.id, "retry": block.retry_ms}
        return json.dumps({name: value for name, value in fields.items() if value is not None}, ensure_ascii=False)

    def _line(self, block: Block) -> str:
        time = self._now().astimezone().strftime("%H:%M:%S.%f")[:-3]
        event, data = printable(block.event), printable(block.data)
        if self._is_terminal:
            room = shutil.get_terminal_size().columns - len(time) - len(event) - 4
            data = data if len(data) <= room else data[: max(room - 1, 0)] + "…"
        if not self._colours:
            return f"{time}  {event}  {data}"
        if block.event.startswith("stream."):
            return f"{_COLOURS.get(block.event, DIM)}{time}  {event}  {data}{_RESET}"
        return f"{DIM}{time}{_RESET}  {CYAN}{event}{_RESET}  {data}"


def printable(text: str) -> str:
    """Escape control characters. A terminal would obey those that an event contains."""
    return "".join(each if each.isprintable() else each.encode("unicode_escape").decode() for each in text)
