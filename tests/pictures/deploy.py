"""Measures the orders of a rolling deploy, and draws the reconnects of each second as SVG, in light and dark.

    python -m tests.pictures.deploy --write

It replaces three tasks in each order, one after the other and all together, and takes 15 minutes. The table is for
``deploy/operate.md``, and the pictures go to ``deploy/``. The exit status is 1 if a guarantee was broken.
"""

from __future__ import annotations

import argparse
import gc
import sys
from dataclasses import dataclass
from pathlib import Path

import uvloop

from tests.faults.cluster import say
from tests.faults.deploy import deploy
from tests.faults.deploy_chart import SCHEMES, chart
from tests.faults.deploy_figures import Figures, Order, percentile

FOLDER = Path(__file__).parents[2] / "deploy"

DRAIN = 20
"""``DrainSeconds`` of the template."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """One deploy."""

    name: str
    """What the table calls it."""
    title: str = ""
    """Its title in the picture, if it is drawn."""
    order: Order
    together: bool = False
    delay: float = 30
    """The deregistration delay. The template sets 30 s."""
    max_age: int | None = None


RUNS = (
    Run(
        name="SIGTERM first, one task after the other",
        title="SIGTERM first: each task closes its own streams",
        order="sigterm",
    ),
    Run(
        name="load balancer first, one task after the other",
        title="Load balancer first: it cuts all streams of a task when the deregistration delay is over",
        order="deregister",
    ),
    Run(name="SIGTERM first, all tasks together", order="sigterm", together=True),
    Run(name="load balancer first, all tasks together", order="deregister", together=True),
    Run(
        name="the same with a delay of 300 s and streams of at most 280 s",
        order="deregister",
        together=True,
        delay=300,
        max_age=280,
    ),
)

HEAD = """\
| order | reconnects in one second | streams cut | without a stream: median / p99 / longest | delay, p99 | violations |
|---|---:|---:|---:|---:|---:|"""
"""A violation is an event that was lost, doubled or out of order, a gap, or a task that did not end as it should."""


def row(name: str, figures: Figures) -> str:
    away = [*(percentile(figures.away, share) for share in (0.5, 0.99)), figures.away[-1]]
    delay = percentile(figures.delays(*figures.during, live=True), 0.99) * 1000
    return (
        f"| {name} | {figures.most} | {sum(page.cuts for page in figures.pages):,} "
        f"| {' / '.join(f'{seconds:.1f}' for seconds in away)} s | {delay:.0f} ms | {len(figures.violations)} |"
    )


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--streams", type=int, default=3000)
    parser.add_argument("--rate", type=float, default=100, help="events a second")
    parser.add_argument("--write", action="store_true", help="write the pictures")
    given = parser.parse_args()
    # The garbage collector would visit all seen blocks, and its pauses would count as delays.
    gc.disable()
    rows, drawn, broken = [], {}, 0
    for run in RUNS:
        say(run.name)
        figures = uvloop.run(
            deploy(
                streams=given.streams,
                rate=given.rate,
                drain=DRAIN,
                quiet=15,
                order=run.order,
                delay=run.delay,
                together=run.together,
                max_age=run.max_age,
                least=True,
            )
        )
        say(str(figures))
        rows.append(row(run.name, figures))
        broken += len(figures.violations)
        if run.title:
            drawn[run.title] = figures
    print(HEAD, *rows, sep="\n")
    if given.write:
        for scheme in SCHEMES:
            (FOLDER / f"rolling-deploy-{scheme}.svg").write_text(chart(drawn, scheme=scheme))
    return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(main())
