"""The plots of the operator's page: inline SVG. The page's CSP forbids scripts and style attributes in it."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from sse_service.operator.number_formats import count, delay, duration, rate
from sse_service.operator.samples import WINDOW_SECONDS
from sse_service.telemetry.metrics import DELAY_BUCKETS

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from sse_service.operator.samples import Window

HEIGHT = 100
"""The height of a plot in its own coordinates. Its width is WINDOW_SECONDS: one unit is one second."""


@dataclass(frozen=True, slots=True)
class Line:
    """One line of a plot."""

    name: str
    """The name of the line in a plot with several lines. It is also the CSS class."""
    values: Sequence[float | None]
    """One value for each sample of the window; None if there was nothing to measure."""
    now: float | None


def plots(window: Window, *, streams: int) -> str:
    """Draw all plots. ``streams`` is the current number of streams, which may be newer than the last sample."""
    samples = window.samples
    rates, medians, p99s = (
        [sample.events_per_second for sample in samples],
        [sample.delay_median for sample in samples],
        [sample.delay_p99 for sample in samples],
    )
    return (
        _plot("Streams open", window, [Line("", [s.streams for s in samples], streams)], text=count, scale=count)
        + _plot("Events delivered a second", window, [_line("", rates)], text=rate, scale=count)
        + _plot(
            "Delay from publish to write",
            window,
            [_line("median", medians), _line("p99", p99s)],
            text=_at_most,
            scale=delay,
            least=DELAY_BUCKETS[0],
        )
    )


def _line(name: str, values: Sequence[float | None]) -> Line:
    return Line(name, values, values[-1] if values else None)


def _plot(
    title: str,
    window: Window,
    lines: Sequence[Line],
    *,
    text: Callable[[float], str],
    scale: Callable[[float], str],
    least: float = 1,
) -> str:
    """Draw one plot. ``text`` formats values, ``scale`` formats the top of the scale, which is at least ``least``."""
    known = [value for line in lines for value in line.values if value is not None]
    extremes = f"lowest {text(min(known))}, highest {text(max(known))}" if known else "nothing measured yet"
    now = [(line.name, "–" if line.now is None else text(line.now)) for line in lines]
    pauses = window.pauses()
    label = f"{title}, last 15 minutes. Now: {', '.join(f'{name} {value}'.strip() for name, value in now)}; {extremes}."
    if pauses:
        label += f" No data for {duration(sum(end - start for start, end in pauses))}."
    top = _scale_top([min(value, DELAY_BUCKETS[-1]) if value == math.inf else value for value in known], least)
    shapes = [_pause(window, start, end) for start, end in pauses]
    shapes += [f'<path class="line {line.name}" d="{_path(window, line.values, top)}"/>' for line in lines]
    current = "".join(f'<span class="now {name}"><small>{name}</small> {value}</span>' for name, value in now)
    # Screen readers get the label. The texts that repeat it are hidden from them.
    return (
        f'<figure class="plot"><figcaption>{title}</figcaption><p class="current" aria-hidden="true">{current}</p>'
        f'<p class="scale" aria-hidden="true"><span>{scale(top)}</span><span>0</span></p>'
        f'<svg viewBox="0 0 {WINDOW_SECONDS} {HEIGHT}" preserveAspectRatio="none" role="img" aria-label="{label}">'
        f"{''.join(shapes)}</svg>"
        f'<p class="axis" aria-hidden="true"><span>15 min ago</span><span>now</span></p>'
        f'<p class="extremes" aria-hidden="true">{extremes}</p></figure>'
    )


def _path(window: Window, values: Sequence[float | None], top: float) -> str:
    """Return the path of a line, with breaks where the process did not run or there was nothing to measure."""
    resumed = {end for _, end in window.pauses()}
    path = ""
    drawing = False
    for sample, value in zip(window.samples, values, strict=True):
        if value is None:
            drawing = False
            continue
        point = f"{_x(window, sample.at)} {HEIGHT - min(value / top, 1) * HEIGHT:.1f}"
        # A line without length is drawn as a dot, so that a single value between two breaks is visible.
        path += f"L{point}" if drawing and sample.at not in resumed else f"M{point}h0"
        drawing = True
    return path


def _pause(window: Window, start: float, end: float) -> str:
    left, right = _x(window, start), _x(window, end)
    return f'<rect class="pause" x="{left}" width="{right - left}" height="{HEIGHT}"/>'


def _x(window: Window, at: float) -> int:
    return round(WINDOW_SECONDS - (window.now - at))


def _scale_top(values: Sequence[float], least: float) -> float:
    """Round the highest value up to 1, 2 or 5 times a power of ten."""
    highest = max(values, default=least)
    if highest <= least:
        return least
    power = 10.0 ** math.floor(math.log10(highest))
    return next(step * power for step in (1, 2, 5, 10) if step * power >= highest * (1 - 1e-9))


def _at_most(seconds: float) -> str:
    """Format a delay of which only the upper bound is known."""
    return f"over {delay(DELAY_BUCKETS[-1])}" if seconds == math.inf else f"≤ {delay(seconds)}"
