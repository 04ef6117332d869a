"""Writes the comparison of the ways to listen into the documentation: tables in Markdown, and plots."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.benchmarks import comparison_plot
from tests.benchmarks.comparison_plot import Mark
from tests.benchmarks.marked_text import filled
from tests.benchmarks.ways import WAYS

FOLDER = Path(__file__).parent
ROOT = FOLDER.parents[1]
KEPT = FOLDER / "comparison.json"
"""The figures in the documentation."""
A_DAY = 25_000
"""Events a day, for which the second table is computed."""
DAY = 86_400

Way = dict[str, float]


def bytes_(way: Way) -> float:
    """Bytes for each event, in both directions."""
    return way["sent"] + way["received"]


def idle_bytes(way: Way) -> float:
    """Bytes of an idle client in a second, in both directions."""
    return way["idle_sent"] + way["idle_received"]


def sent_a_second(found: dict[str, Any]) -> float:
    """Events that arrive in a second, under the load."""
    rate = found["rate"]
    return float(rate["per_second"] + found["clients"] / rate["every"])


def seldom(found: dict[str, Any], busy: float, idle: float) -> float:
    """What an event costs where there are ``A_DAY`` of them: its own part of ``busy``, and what idle clients cost.

    ``busy`` is for an event under the load, ``idle`` for an idle client in a second.
    """
    own = max(0.0, busy - idle * found["clients"] / sent_a_second(found))
    return own + idle * found["clients"] * DAY / A_DAY


COSTS: dict[str, tuple[Callable[[Way], float], Callable[[Way], float]]] = {
    "requests": (lambda way: way["requests"], lambda way: way["idle_requests"]),
    "bytes": (bytes_, idle_bytes),
    "CPU": (lambda way: way["cpu_us"], lambda way: max(0.0, way["idle_cpu_us"])),
}
"""What an event costs, and what an idle client costs in a second."""


def per_event(found: dict[str, Any], name: str, cost: str) -> tuple[float, float]:
    """What an event costs under the load, and where there are ``A_DAY`` events."""
    busy, idle = COSTS[cost]
    way = found["found"][name]
    return busy(way), seldom(found, busy(way), idle(way))


def tables(found: dict[str, Any]) -> str:
    """The tables of the section."""
    load = [
        "| way | delay, median | p99 | a broadcast at the last client | requests per event | bytes per event "
        "| CPU per event |",
        "|---|---:|---:|---:|---:|---:|---:|",
    ]
    seldom_ = [
        f"| way | requests per event at {A_DAY:,} events a day | bytes per event | CPU per event |",
        "|---|---:|---:|---:|",
    ]
    idle = [
        "| way | an idle client: requests in a minute | bytes in a minute | CPU in a second | memory |",
        "|---|---:|---:|---:|---:|",
    ]
    for name, way in _ways(found):
        load.append(
            f"| {name} | {_ms(way['p50_ms'])} | {_ms(way['p99_ms'])} | {_ms(way['broadcast_max_ms'])} "
            f"| {_count(way['requests'])} | {_bytes(bytes_(way))} | {_us(way['cpu_us'])} |"
        )
        requests, size, cpu = (per_event(found, name, cost)[1] for cost in COSTS)
        seldom_.append(f"| {name} | {_count(requests)} | {_bytes(size)} | {_us(cpu)} |")
        idle.append(
            f"| {name} | {_count(way['idle_requests'] * 60)} | {_bytes(idle_bytes(way) * 60)} "
            f"| {_us(max(0.0, way['idle_cpu_us']))} | {way['memory_kb']:.1f} kB |"
        )
    return "\n".join([*load, "", *seldom_, "", *idle])


def section(found: dict[str, Any]) -> str:
    """What stands between the marks in the benchmarks' page."""
    machine, nobody = found["machine"], found["found"]["nobody listens"]
    heads = {name: way["head"] for name, way in _ways(found)}
    runs = "one run" if found["runs"] == 1 else f"medians of {found['runs']} runs"
    text = (
        f"Figures: {runs} on two cores of a shared virtual machine ({machine['processor']}, Linux {machine['kernel']}, "
        f"Python {machine['python']}). A request is {min(heads.values()):,.0f} to {max(heads.values()):,.0f} bytes "
        f"long. Sending an event for which nobody listens takes {_us(nobody['publish_us'])} of CPU, which is part of "
        f"each figure. The load generator used {max(way['load_core'] for _, way in _ways(found)):.0%} of its core at "
        "most."
    )
    pictures = "\n\n".join(_picture(name, text) for name, (_, text) in comparison_plot.PLOTS.items())
    return f"{_wrapped(text)}\n\n{tables(found)}\n\n{pictures}"


def summary(found: dict[str, Any]) -> str:
    """What stands between the marks in the project's page."""
    lines = [
        f"| way | delay, median / p99 | requests per event | bytes per event | CPU per event | {A_DAY:,} events a day: "
        "requests per event | memory of an idle client |",
        "|---|---:|---:|---:|---:|---:|---:|",
    ]
    for name, way in _ways(found):
        requests, seldom_requests = per_event(found, name, "requests")
        lines.append(
            f"| {name} | {_ms(way['p50_ms'])} / {_ms(way['p99_ms'])} | {_count(requests)} | {_bytes(bytes_(way))} "
            f"| {_us(way['cpu_us'])} | {_count(seldom_requests)} | {way['memory_kb']:.1f} kB |"
        )
    return "\n".join(lines)


PAGES: dict[Path, tuple[str, Callable[[dict[str, Any]], str]]] = {
    FOLDER / "README.md": ("comparison", section),
    ROOT / "README.md": ("comparison summary", summary),
}
"""Where the figures stand, between which marks. A page without the marks is left alone."""


def write(found: dict[str, Any]) -> None:
    """Write figures, pages and plots."""
    KEPT.write_text(json.dumps(found, indent=1) + "\n")
    for path, (name, make) in PAGES.items():
        path.write_text(filled(path.read_text(), name, make(found)))
    for name, text in plots(found).items():
        (FOLDER / name).write_text(text)


def plots(found: dict[str, Any]) -> dict[str, str]:
    """The plots by the names of their files."""
    marks = [
        Mark(
            name=name,
            p50_ms=way["p50_ms"],
            p99_ms=way["p99_ms"],
            requests=per_event(found, name, "requests"),
            bytes=per_event(found, name, "bytes"),
            cpu_us=per_event(found, name, "CPU"),
        )
        for name, way in _ways(found)
    ]
    return {
        f"{name}-{scheme}.svg": comparison_plot.draw(name, scheme, marks, f"{A_DAY:,} events a day")
        for name in comparison_plot.PLOTS
        for scheme in comparison_plot.SCHEMES
    }


def _ways(found: dict[str, Any]) -> list[tuple[str, Way]]:
    return [(way.name, found["found"][way.name]) for way in WAYS]


def _picture(name: str, text: str) -> str:
    return (
        f'<picture>\n  <source media="(prefers-color-scheme: dark)" srcset="{name}-dark.svg">\n'
        f'  <img src="{name}-light.svg" width="{comparison_plot.WIDTH}" alt="{text}">\n</picture>'
    )


def _wrapped(text: str) -> str:
    lines = [""]
    for word in text.split():
        if len(lines[-1]) + 1 + len(word) > 120:
            lines.append("")
        lines[-1] = f"{lines[-1]} {word}".strip()
    return "\n".join(lines)


def _short(value: float) -> str:
    """Three digits, or more where there are more before the point."""
    return f"{value:,.0f}" if value >= 100 else f"{value:.1f}" if value >= 10 else f"{value:.2f}"


def _count(value: float) -> str:
    return "0" if value < 0.005 else _short(value)


def _ms(value: float) -> str:
    return f"{_short(value / 1000)} s" if value >= 1000 else f"{_short(value)} ms"


def _us(value: float) -> str:
    if value >= 1e6:
        return f"{_short(value / 1e6)} s"
    return f"{_short(value / 1000)} ms" if value >= 1000 else f"{_short(value)} µs"


def _bytes(value: float) -> str:
    for unit, size in (("MB", 1e6), ("kB", 1e3)):
        if value >= size:
            return f"{_short(value / size)} {unit}"
    return f"{value:.0f} B"
