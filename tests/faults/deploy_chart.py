"""Draws the reconnects of a rolling deploy over time, as a self-contained SVG."""

from __future__ import annotations

import math
from collections import Counter

from tests.faults.deploy_figures import Figures

WIDTH, HEIGHT = 900, 360
LEFT, RIGHT, TOP, BOTTOM = 62, 18, 74, 50

HEAD = f"""<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" width="{WIDTH}" height="{HEIGHT}" \
role="img" aria-label="Reconnects per second during a rolling deploy" \
font-family="Helvetica, Arial, sans-serif" font-size="12" fill="#1f2328">
<rect width="{WIDTH}" height="{HEIGHT}" fill="#ffffff"/>"""


def chart(figures: Figures) -> str:
    """Draw a bar for each second, a band for each old task from SIGTERM to its end, and its even spread as a line."""
    start = figures.replaced[0].told - 5
    bars = Counter(int(at - start) for at in figures.reconnects)
    seconds = max(max(bars), math.ceil(figures.replaced[-1].ended - start)) + 3
    step = _step(max(max(bars.values()), *(drain.even for drain in figures.drains)) / 4)
    top = step * math.ceil(max(bars.values()) / step)

    def x(second: float) -> float:
        return LEFT + (WIDTH - LEFT - RIGHT) * second / seconds

    def y(count: float) -> float:
        return HEIGHT - BOTTOM - (HEIGHT - TOP - BOTTOM) * count / top

    title = f"A rolling deploy of {len(figures.replaced)} tasks with {len(figures.pages):,} open streams"
    lines = [HEAD, _text(LEFT, 22, title, 'font-size="15" font-weight="bold"')]
    for number, old in enumerate(figures.replaced, 1):
        told, ended = x(old.told - start), x(old.ended - start)
        lines += [
            f'<rect x="{told:.1f}" y="{TOP}" width="{ended - told:.1f}" height="{HEIGHT - TOP - BOTTOM}" '
            'fill="#ddf4ff"/>',
            _line(told, TOP - 6, told, HEIGHT - BOTTOM, "#0969da"),
            _line(ended, TOP - 6, ended, HEIGHT - BOTTOM, "#57606a"),
            _text(told, TOP - 24, f"old task {number}", 'font-weight="bold"'),
            _text(told, TOP - 10, "SIGTERM", 'fill="#0969da"'),
            _text(ended, TOP - 10, f"exit {old.status}", 'text-anchor="end" fill="#57606a"'),
        ]
    for count in range(0, top + 1, step):
        lines += [
            _line(LEFT, y(count), WIDTH - RIGHT, y(count), "#d0d7de"),
            _text(LEFT - 8, y(count) + 4, f"{count}", 'text-anchor="end"'),
        ]
    for second, count in sorted(bars.items()):
        width = x(1) - x(0)
        lines.append(
            f'<rect x="{x(second) + width * 0.1:.1f}" y="{y(count):.1f}" width="{width * 0.8:.1f}" '
            f'height="{y(0) - y(count):.1f}" fill="#2da44e"/>'
        )
    for old, drain in zip(figures.replaced, figures.drains, strict=True):
        told = old.told - start
        lines.append(
            _line(x(told), y(drain.even), x(told + figures.drain), y(drain.even), "#cf222e", 'stroke-dasharray="6 4"')
        )
    every = _step(seconds / 10)
    lines += [
        _text(x(second), HEIGHT - BOTTOM + 18, f"{second}", 'text-anchor="middle"')
        for second in range(0, seconds + 1, every)
    ]
    middle = (TOP + HEIGHT - BOTTOM) / 2
    lines += [
        _text((LEFT + WIDTH - RIGHT) / 2, HEIGHT - 12, "time (s)", 'text-anchor="middle"'),
        _text(16, middle, "reconnects (1/s)", f'text-anchor="middle" transform="rotate(-90 16 {middle:.0f})"'),
        *_legend(f"even spread: streams of the task / SSE_DRAIN_SECONDS ({figures.drain} s)"),
        "</svg>",
    ]
    return "\n".join(lines) + "\n"


def _legend(text: str) -> list[str]:
    right = WIDTH - RIGHT
    return [
        _text(right, 22, text, 'text-anchor="end" fill="#cf222e"'),
        _line(right - 394, 18, right - 364, 18, "#cf222e", 'stroke-dasharray="6 4"'),
    ]


def _step(least: float) -> int:
    """Return the smallest of 1, 2, 5, 10, 20, … that is at least ``least``."""
    return int(next(step for power in range(9) for step in (10**power, 2 * 10**power, 5 * 10**power) if step >= least))


def _text(x: float, y: float, text: str, more: str = "") -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" {more}>{text}</text>'


def _line(x1: float, y1: float, x2: float, y2: float, colour: str, more: str = "") -> str:
    return (
        f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" stroke="{colour}" stroke-width="1.5" {more}/>'
    )
