"""The rows of the result table."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass, replace


@dataclass(frozen=True, slots=True)
class Row:
    """One figure of ours, with a reference and a bar if there are any."""

    name: str
    unit: str
    ours: float
    reference: float | None = None
    than: str = ""
    """The name of the reference."""
    bar: float | None = None
    """The limit: a multiple of the reference, or of the unit if there is none."""
    at_least: bool = False
    """The bar is a minimum, not a maximum."""
    ratio: float | None = None
    """Ours divided by the reference, within one run."""

    def __post_init__(self) -> None:
        if self.ratio is None and self.reference:
            object.__setattr__(self, "ratio", self.ours / self.reference)

    @property
    def measure(self) -> float:
        """The figure that is compared with the bar."""
        return self.ours if self.ratio is None else self.ratio

    @property
    def used(self) -> float | None:
        """The used share of the bar; it is kept up to 1."""
        if self.bar is None:
            return None
        if not self.at_least:
            return self.measure / self.bar
        return self.bar / self.measure if self.measure else float("inf")

    @property
    def verdict(self) -> str:
        """Whether the bar is kept."""
        return "" if self.used is None else "kept" if self.used <= 1 else "missed"


def median(rows: Sequence[Row]) -> Row:
    """The medians of several runs; the ratio is the median of the runs' ratios."""
    references = [row.reference for row in rows if row.reference is not None]
    ratios = [row.ratio for row in rows if row.ratio is not None]
    return replace(
        rows[0],
        ours=statistics.median(row.ours for row in rows),
        reference=statistics.median(references) if references else None,
        ratio=statistics.median(ratios) if ratios else None,
    )


HEAD = "| case | figure | ours | reference | ratio | bar | |\n|---|---|---:|---:|---:|---:|---|"


def line(case: str, row: Row) -> str:
    """A line of the table."""
    reference = "" if row.reference is None else f"{_short(row.reference)} ({row.than})"
    ratio = "" if row.ratio is None else f"{row.ratio:.2f}"
    sign = ">=" if row.at_least else "<="
    unit = "" if row.bar is None else " x" if row.ratio is not None else f" {row.unit}"
    bar = "" if row.bar is None else f"{sign} {row.bar:g}{unit}"
    return f"| {case} | {row.name} | {_short(row.ours)} {row.unit} | {reference} | {ratio} | {bar} | {row.verdict} |"


def _short(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.1f}" if value >= 10 else f"{value:.2f}"
