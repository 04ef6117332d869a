"""Draws the reconnects of rolling deploys over time, as a self-contained SVG for light or dark pages."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from html import escape

from tests.faults.deploy_figures import Figures, Replaced

WIDTH, PANEL = 900, 318
LEFT, RIGHT, TOP, BOTTOM = 62, 18, 86, 50
BEFORE, AFTER = 5, 3
"""Seconds that are shown before the first task is replaced, and after the last reconnect."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Scheme:
    """The colours of a page."""

    back: str
    text: str
    grey: str
    grid: str
    bar: str
    signal: str
    cut: str
    band: str


SCHEMES = {
    "light": Scheme(
        back="#ffffff",
        text="#1f2328",
        grey="#57606a",
        grid="#d0d7de",
        bar="#2da44e",
        signal="#0969da",
        cut="#cf222e",
        band="#ddf4ff",
    ),
    "dark": Scheme(
        back="#0d1117",
        text="#e6edf3",
        grey="#9198a1",
        grid="#3d444d",
        bar="#3fb950",
        signal="#58a6ff",
        cut="#ff7b72",
        band="#12263f",
    ),
}


def chart(deploys: Mapping[str, Figures], *, scheme: str = "light") -> str:
    """Draw one panel for each deploy, by its title. All have the same axes.

    A bar is one second. A band is one old task, from the first that happens to it until its end.
    """
    colours = SCHEMES[scheme]
    seconds = max(_seconds(figures) for figures in deploys.values())
    step = _step(max(max(_bars(figures).values()) for figures in deploys.values()) / 4)
    top = step * math.ceil(max(max(_bars(figures).values()) for figures in deploys.values()) / step)
    height = PANEL * len(deploys)
    label = escape("Reconnects a second during rolling deploys. " + ". ".join(deploys), quote=True)
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" width="{WIDTH}" height="{height}" '
        f'role="img" aria-label="{label}" font-family="-apple-system, \'Segoe UI\', Helvetica, Arial, sans-serif" '
        f'font-size="12" fill="{colours.text}">',
        f'<rect width="{WIDTH}" height="{height}" fill="{colours.back}"/>',
    ]
    for number, (title, figures) in enumerate(deploys.items()):
        lines.append(f'<g transform="translate(0 {number * PANEL})">')
        lines += _Panel(figures, colours, seconds=seconds, top=top, step=step).lines(title)
        lines.append("</g>")
    return "\n".join([*lines, "</svg>"]) + "\n"


class _Panel:
    """The plot of one deploy."""

    def __init__(self, figures: Figures, colours: Scheme, *, seconds: int, top: int, step: int) -> None:
        self._figures, self._colours = figures, colours
        self._seconds, self._top, self._step = seconds, top, step
        self._start = _start(figures)

    def lines(self, title: str) -> Iterator[str]:
        yield _text(LEFT, 26, escape(title), 'font-size="15" font-weight="bold"')
        for number, old in enumerate(self._figures.replaced, 1):
            yield from self._old(number, old)
        for count in range(0, self._top + 1, self._step):
            yield _line(LEFT, self._y(count), WIDTH - RIGHT, self._y(count), self._colours.grid)
            yield _text(LEFT - 8, self._y(count) + 4, f"{count}", 'text-anchor="end"')
        width = self._x(1) - self._x(0)
        for second, count in sorted(_bars(self._figures).items()):
            yield (
                f'<rect x="{self._x(second) + width * 0.1:.1f}" y="{self._y(count):.1f}" width="{width * 0.8:.1f}" '
                f'height="{self._y(0) - self._y(count):.1f}" fill="{self._colours.bar}"/>'
            )
        for second in range(0, self._seconds + 1, _step(self._seconds / 10)):
            yield _text(self._x(second), PANEL - BOTTOM + 18, f"{second}", 'text-anchor="middle"')
        middle = (TOP + PANEL - BOTTOM) / 2
        yield _text((LEFT + WIDTH - RIGHT) / 2, PANEL - 12, "time (s)", 'text-anchor="middle"')
        turned = f'text-anchor="middle" transform="rotate(-90 16 {middle:.0f})"'
        yield _text(16, middle, "reconnects (1/s)", turned)

    def _old(self, number: int, old: Replaced) -> Iterator[str]:
        colours = self._colours
        begun, told, ended = (self._x(at - self._start) for at in (_begun(old), old.told, old.ended))
        yield (
            f'<rect x="{begun:.1f}" y="{TOP}" width="{ended - begun:.1f}" height="{PANEL - TOP - BOTTOM}" '
            f'fill="{colours.band}"/>'
        )
        yield _text(begun, TOP - 26, "all old tasks" if old.tasks > 1 else f"old task {number}", 'font-weight="bold"')
        marks = [(told, "SIGTERM", colours.signal)]
        if old.cut is not None:
            marks = [(begun, "deregistered", colours.grey), (told, "cut, SIGTERM", colours.cut)]
        for x, text, colour in marks:
            yield _line(x, TOP - 6, x, PANEL - BOTTOM, colour)
            yield _text(x, TOP - 10, text, f'fill="{colour}"')
        yield _line(ended, TOP - 6, ended, PANEL - BOTTOM, colours.grey)

    def _x(self, second: float) -> float:
        return LEFT + (WIDTH - LEFT - RIGHT) * second / self._seconds

    def _y(self, count: float) -> float:
        return PANEL - BOTTOM - (PANEL - TOP - BOTTOM) * count / self._top


def _begun(old: Replaced) -> float:
    """When the first thing happened to a task: its deregistration before a cut, or SIGTERM."""
    return old.told if old.cut is None else old.deregistered


def _start(figures: Figures) -> float:
    """The time of the left edge, in monotonic seconds."""
    return _begun(figures.replaced[0]) - BEFORE


def _seconds(figures: Figures) -> int:
    return max(max(_bars(figures)), math.ceil(figures.replaced[-1].ended - _start(figures))) + AFTER


def _bars(figures: Figures) -> Counter[int]:
    """The reconnects of each second."""
    return Counter(int(at - _start(figures)) for at in figures.reconnects)


def _step(least: float) -> int:
    """Return the smallest of 1, 2, 5, 10, 20, … that is at least ``least``."""
    return int(next(step for power in range(9) for step in (10**power, 2 * 10**power, 5 * 10**power) if step >= least))


def _text(x: float, y: float, text: str, more: str = "") -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" {more}>{text}</text>'


def _line(x1: float, y1: float, x2: float, y2: float, colour: str) -> str:
    return f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" stroke="{colour}" stroke-width="1.5"/>'
