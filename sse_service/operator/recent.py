"""The last lines of the log that say what is wrong."""

from __future__ import annotations

import logging
from collections import deque
from dataclasses import dataclass
from typing import Self

KEPT = 20


@dataclass(frozen=True, slots=True)
class Line:
    """One record."""

    at: float
    """Seconds since 1970."""
    level: str
    text: str


class Recent(logging.Handler):
    """Keeps the newest warnings and errors; what no log may hold is not in them either."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self._lines: deque[Line] = deque(maxlen=KEPT)

    def __enter__(self) -> Self:
        """Listen to all loggers, until the end of the block."""
        logging.getLogger().addHandler(self)
        return self

    def __exit__(self, *_: object) -> None:
        """Listen no more."""
        logging.getLogger().removeHandler(self)

    def emit(self, record: logging.LogRecord) -> None:
        """Keep a record, of an exception only its last line."""
        text = record.getMessage()
        if record.exc_info and record.exc_info[0] is not None:
            text += f" ({record.exc_info[0].__name__})"
        self._lines.append(Line(record.created, record.levelname.lower(), text[:500]))

    def newest(self) -> list[Line]:
        """Newest first."""
        return list(reversed(self._lines))
