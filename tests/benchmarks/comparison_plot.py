"""Draws the comparison of the ways to listen, as self-contained SVGs for light and dark pages."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from html import escape

WIDTH = 880
FONT = "-apple-system, 'Segoe UI', Helvetica, Arial, sans-serif"


@dataclass(frozen=True, slots=True)
class Scheme:
    """The colours of a page."""

    back: str
    text: str
    grey: str
    line: str
    ways: tuple[str, ...]
    """Of polling, long polling, WebSocket and SSE."""


SCHEMES = {
    "light": Scheme("#ffffff", "#1f2328", "#57606a", "#d0d7de", ("#bc4c00", "#8250df", "#1a7f37", "#0969da")),
    "dark": Scheme("#0d1117", "#e6edf3", "#9198a1", "#3d444d", ("#f0883e", "#bc8cff", "#3fb950", "#58a6ff")),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Mark:
    """What a plot shows of one way. The pairs are under the load, and with few events."""

    name: str
    p50_ms: float
    p99_ms: float
    requests: tuple[float, float]
    bytes: tuple[float, float]
    cpu_us: tuple[float, float]

    @property
    def kind(self) -> int:
        """The number of its colour."""
        return ["polling", "long polling", "WebSocket", "SSE"].index(self.name.partition(" every")[0])


@dataclass(frozen=True, slots=True)
class Axis:
    """A logarithmic axis: from ``low`` at ``start`` to ``high`` at ``end``."""

    low: float
    high: float
    start: float
    end: float

    def __call__(self, value: float) -> float:
        share = math.log(min(max(value, self.low), self.high) / self.low) / math.log(self.high / self.low)
        return self.start + share * (self.end - self.start)

    def ticks(self) -> Iterator[tuple[float, float]]:
        """Each power of ten, and where it is."""
        exponent = math.ceil(math.log10(self.low) - 1e-9)
        while 10**exponent <= self.high * 1.001:
            yield 10.0**exponent, self(10.0**exponent)
            exponent += 1


def delay(marks: Sequence[Mark], scheme: Scheme, few: str) -> str:
    """Draw the delay against the requests for an event."""
    height, left, right, top, bottom = 430, 70, 36, 64, 60
    none = left + 58.0
    across = Axis(0.1, 10_000, left + 190, WIDTH - right)
    up = Axis(0.1, 100_000, height - bottom, top)
    parts = _begin(height, scheme, "Delay, and requests that it takes", _legend(few, "median; the line goes to p99"))
    for value, y in up.ticks():
        parts += [_line(left, y, WIDTH - right, y, scheme.line), _text(left - 8, y + 4, _ms(value), scheme.grey, "end")]
    for value, x in across.ticks():
        parts += [_line(x, top, x, height - bottom, scheme.line)]
        parts += [_text(x, height - bottom + 18, f"{value:,.10g}", scheme.grey, "middle")]
    parts += [_text(none + 22, height - bottom + 18, "none", scheme.grey, "middle")]
    parts += [_text((left + WIDTH) / 2, height - 14, "requests for each event", scheme.grey, "middle")]
    for mark in marks:
        colour = scheme.ways[mark.kind]
        y, high = up(mark.p50_ms), up(mark.p99_ms)
        pushed = mark.requests[0] < across.low
        x = none + 56 * (mark.name == "SSE") if pushed else across(mark.requests[0])
        parts.append(_line(x, y, x, high, colour, 2))
        if not pushed:
            far = across(mark.requests[1])
            parts += [_line(x, y, far, y, colour, 1, "3 3"), _dot(far, y, colour, scheme.back)]
        parts.append(_dot(x, y, colour))
        label = mark.name.replace("polling every", "every")
        if pushed:
            parts.append(_text(x, y + 20, label, colour, "middle"))
        else:
            parts.append(_text(x + 10, y - 8, label, colour))
    return _end(parts)


def cost(marks: Sequence[Mark], scheme: Scheme, few: str) -> str:
    """Draw bytes and CPU for an event."""
    step, top, left, middle = 30, 92, 160, 40
    height = top + step * len(marks) + 44
    half = (WIDTH - left - middle - 24) / 2
    parts = _begin(height, scheme, "What an event costs", _legend(few, ""))
    panels: list[tuple[str, Axis, Callable[[Mark], tuple[float, float]], Callable[[float], str]]] = [
        ("bytes, both directions", Axis(100, 10_000_000, left, left + half), lambda mark: mark.bytes, _bytes),
        ("CPU of the service", Axis(10, 1e7, left + half + middle, WIDTH - 24), lambda mark: mark.cpu_us, _us),
    ]
    end = top + step * len(marks)
    for name, axis, pair, short in panels:
        parts.append(_text((axis.start + axis.end) / 2, top - 14, name, scheme.text, "middle"))
        for value, x in axis.ticks():
            parts += [_line(x, top, x, end, scheme.line), _text(x, end + 18, short(value), scheme.grey, "middle")]
        for number, mark in enumerate(marks):
            y, colour = top + step * (number + 0.5), scheme.ways[mark.kind]
            near, far = map(axis, pair(mark))
            parts += [_line(near, y, far, y, colour, 1, "3 3"), _dot(far, y, colour, scheme.back)]
            parts.append(_dot(near, y, colour))
    for number, mark in enumerate(marks):
        parts.append(_text(left - 14, top + step * (number + 0.5) + 4, mark.name, scheme.ways[mark.kind], "end"))
    return _end(parts)


PLOTS: dict[str, tuple[Callable[[Sequence[Mark], Scheme, str], str], str]] = {
    "comparison-delay": (
        delay,
        "Delay against requests for each event. WebSocket and SSE need no request and deliver within a millisecond or "
        "so. Long polling is nearly as fast and needs a request for each event. Polling pays for a shorter delay with "
        "more requests.",
    ),
    "comparison-cost": (
        cost,
        "Bytes and CPU for each event. Pushed events cost least; with few events a day, polls that bring nothing make "
        "an event cost many times more.",
    ),
}
"""How each plot is drawn, and what it says to those who do not see it."""


def draw(name: str, scheme: str, marks: Sequence[Mark], few: str) -> str:
    """Draw one plot; ``few`` says how many events the hollow dots stand for."""
    return PLOTS[name][0](marks, SCHEMES[scheme], few)


def _legend(few: str, lines: str) -> list[str]:
    return ["filled: under the load", f"hollow: {few}, computed", *([lines] if lines else [])]


def _begin(height: float, scheme: Scheme, title: str, legend: Sequence[str]) -> list[str]:
    return [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height:g}" width="{WIDTH}" '
        f'height="{height:g}" role="img" aria-label="{escape(title)}" font-family="{FONT}" font-size="12">',
        f'<rect width="{WIDTH}" height="{height:g}" rx="10" fill="{scheme.back}"/>',
        f'<text x="20" y="30" font-size="15" font-weight="bold" fill="{scheme.text}">{escape(title)}</text>',
        _text(WIDTH - 24, 30, " · ".join(legend), scheme.grey, "end"),
    ]


def _end(parts: Sequence[str]) -> str:
    return "\n".join([*parts, "</svg>"]) + "\n"


def _text(x: float, y: float, text: str, colour: str, anchor: str = "start") -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" fill="{colour}">{escape(text)}</text>'


def _line(x: float, y: float, to_x: float, to_y: float, colour: str, width: float = 1, dashes: str = "none") -> str:
    return (
        f'<line x1="{x:.1f}" y1="{y:.1f}" x2="{to_x:.1f}" y2="{to_y:.1f}" stroke="{colour}" stroke-width="{width:g}" '
        f'stroke-dasharray="{dashes}"/>'
    )


def _dot(x: float, y: float, colour: str, inside: str | None = None) -> str:
    return f'<circle cx="{x:.1f}" cy="{y:.1f}" r="5" fill="{inside or colour}" stroke="{colour}" stroke-width="2"/>'


def _ms(value: float) -> str:
    return f"{value / 1000:g} s" if value >= 1000 else f"{value:g} ms"


def _us(value: float) -> str:
    return f"{value / 1e6:g} s" if value >= 1e6 else f"{value / 1000:g} ms" if value >= 1000 else f"{value:g} µs"


def _bytes(value: float) -> str:
    return f"{value / 1e6:g} MB" if value >= 1e6 else f"{value / 1000:g} kB" if value >= 1000 else f"{value:g} B"
