"""The last warnings and errors of the log."""

from __future__ import annotations

import logging
from collections import deque
from dataclasses import dataclass
from typing import Self

MAX_LINES = 20


@dataclass(frozen=True, slots=True)
class LogLine:
    """One log record."""

    at: float
    """Seconds since 1970."""
    level: str
    text: str


class RecentWarnings(logging.Handler):
    """A log handler that keeps the newest warnings and errors. Like the log, they contain no tokens and no payloads."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self._lines: deque[LogLine] = deque(maxlen=MAX_LINES)

    def __enter__(self) -> Self:
        """Listen to all loggers until the end of the block."""
        logging.getLogger().addHandler(self)
        return self

    def __exit__(self, *_: object) -> None:
        """Stop listening."""
        logging.getLogger().removeHandler(self)

    def emit(self, record: logging.LogRecord) -> None:
        """Keep a record. Only the class of an exception is kept: its text may quote a payload."""
        text = record.getMessage()
        if record.exc_info and record.exc_info[0] is not None:
            text += f" ({record.exc_info[0].__name__})"
        self._lines.append(LogLine(record.created, record.levelname.lower(), text[:500]))

    def newest_first(self) -> list[LogLine]:
        """Return the kept lines."""
        return list(reversed(self._lines))
