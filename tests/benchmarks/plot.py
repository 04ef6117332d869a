"""Draws how much of each bar is used, as a self-contained SVG."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from tests.benchmarks.table import Row

WIDTH, LEFT, RIGHT, TOP, STEP = 920, 300, 140, 62, 24
MOST = 2.0
"""Longer bars are cut off."""
KEPT, MISSED, GREY = "#2da44e", "#cf222e", "#57606a"


def plot(rows: Sequence[tuple[str, Row]]) -> str:
    """Draw one bar for each figure that has a limit; the dashed line is the limit."""
    barred = [(case, row, row.used) for case, row in rows if row.used is not None]
    height = TOP + STEP * len(barred) + 20
    whole = (WIDTH - LEFT - RIGHT) / MOST
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" width="{WIDTH}" height="{height}" '
        'role="img" aria-label="How much of each bar is used" font-family="Helvetica, Arial, sans-serif" '
        'font-size="12" fill="#1f2328">',
        f'<rect width="{WIDTH}" height="{height}" fill="#ffffff"/>',
        '<text x="16" y="24" font-size="15" font-weight="bold">How much of each bar is used (less is better)</text>',
        f'<text x="{LEFT + whole:.0f}" y="{TOP - 14}" text-anchor="middle" fill="{GREY}">the bar</text>',
    ]
    for number, (case, row, used) in enumerate(barred):
        y = TOP + STEP * number
        colour = KEPT if used <= 1 else MISSED
        # A bar that is cut off ends in an arrow.
        end = LEFT + min(used, MOST) * whole
        tip = f" L{end + 9:.1f} {y + 8.5} L{end:.1f} {y + 17}" if used > MOST else f" L{end:.1f} {y + 17}"
        lines += [
            f'<text x="{LEFT - 8}" y="{y + 13}" text-anchor="end">{escape(f"{case}: {row.name}")}</text>',
            f'<path d="M{LEFT} {y} L{end:.1f} {y}{tip} L{LEFT} {y + 17} Z" fill="{colour}"/>',
            f'<text x="{WIDTH - 16}" y="{y + 13}" text-anchor="end" fill="{colour}">{_value(row)}</text>',
        ]
    lines.append(
        f'<line x1="{LEFT + whole:.1f}" y1="{TOP - 8}" x2="{LEFT + whole:.1f}" y2="{height - 14}" stroke="{GREY}" '
        'stroke-width="1.5" stroke-dasharray="6 4"/>'
    )
    return "\n".join([*lines, "</svg>"]) + "\n"


def _value(row: Row) -> str:
    return f"{row.ratio:.2f} x" if row.ratio is not None else f"{row.ours:.3g} {row.unit}"
