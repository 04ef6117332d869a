"""The report: findings of one line each."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

_NAME_WIDTH = 13


class Level(Enum):
    """The level of a finding. The value is printed."""

    OK = "ok"
    WARN = "warn"
    FAIL = "FAIL"
    SKIP = "skip"


@dataclass(frozen=True, slots=True)
class Finding:
    """One line of the report. No field ever holds a secret."""

    level: Level
    check: str
    text: str
    fix: str = ""

    @property
    def line(self) -> str:
        """The line to print. Text from outside cannot add another line or control the terminal."""
        said = f"{self.text}: {self.fix}" if self.fix else self.text
        shown = "".join(char if char.isprintable() else ascii(char)[1:-1] for char in said)
        return f"{self.level.value:<5} {self.check:<{_NAME_WIDTH}}{shown}"


def ok(check: str, text: str) -> Finding:
    """Make a finding that all is well."""
    return Finding(Level.OK, check, text)


def warn(check: str, text: str, fix: str) -> Finding:
    """Make a finding about something that works, or may work, but is not as it should be."""
    return Finding(Level.WARN, check, text, fix)


def fail(check: str, text: str, fix: str = "") -> Finding:
    """Make a finding about something that does not work, or that breaks a guarantee of the service."""
    return Finding(Level.FAIL, check, text, fix)


def skip(check: str, why: str) -> Finding:
    """Make a finding that nothing was checked."""
    return Finding(Level.SKIP, check, why)


class Report:
    """Writes each finding at once, and remembers the levels of each check."""

    def __init__(self, write: Callable[[str], None]) -> None:
        self._write = write
        self._levels: dict[str, set[Level]] = {}

    def add(self, *findings: Finding) -> None:
        """Write findings."""
        for finding in findings:
            self._levels.setdefault(finding.check, set()).add(finding.level)
            self._write(finding.line)

    def skip(self, checks: Iterable[str], why: str) -> None:
        """Write that these checks were skipped."""
        self.add(*(skip(check, why) for check in checks))

    @property
    def failed(self) -> bool:
        """Whether any check failed."""
        return bool(self.checks_at(Level.FAIL))

    def checks_at(self, *levels: Level) -> list[str]:
        """Return the checks that have a finding of one of these levels, in order."""
        return [check for check, found in self._levels.items() if found.intersection(levels)]
