"""What a check found, as a line."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

_NAME_WIDTH = 13


class Level(Enum):
    """How a check came out; the value is what is printed."""

    OK = "ok"
    WARN = "warn"
    FAIL = "FAIL"
    SKIP = "skip"


@dataclass(frozen=True, slots=True)
class Finding:
    """One line of the report; no field ever holds a secret."""

    level: Level
    check: str
    text: str
    do: str = ""
    """What would mend it."""

    @property
    def line(self) -> str:
        """As it is printed: one line, whatever is in its texts."""
        said = f"{self.text}: {self.do}" if self.do else self.text
        shown = "".join(char if char.isprintable() else ascii(char)[1:-1] for char in said)
        return f"{self.level.value:<5} {self.check:<{_NAME_WIDTH}}{shown}"


def ok(check: str, text: str) -> Finding:
    """It is as it should be."""
    return Finding(Level.OK, check, text)


def warn(check: str, text: str, do: str) -> Finding:
    """It works, or may work, and is not as it should be."""
    return Finding(Level.WARN, check, text, do)


def fail(check: str, text: str, do: str = "") -> Finding:
    """It does not work, or breaks what the service promises."""
    return Finding(Level.FAIL, check, text, do)


def skip(check: str, why: str) -> Finding:
    """It was not looked at."""
    return Finding(Level.SKIP, check, why)


class Report:
    """Writes each finding as it comes, and remembers them."""

    def __init__(self, write: Callable[[str], None]) -> None:
        self._write = write
        self._levels: dict[str, set[Level]] = {}

    def add(self, findings: Iterable[Finding]) -> None:
        """Write what a check found."""
        for finding in findings:
            self._levels.setdefault(finding.check, set()).add(finding.level)
            self._write(finding.line)

    @property
    def failed(self) -> bool:
        """Whether any check failed."""
        return bool(self.named(Level.FAIL))

    def named(self, *levels: Level) -> list[str]:
        """The checks that came out so, in their order."""
        return [check for check, found in self._levels.items() if found.intersection(levels)]
