"""The monthly bill of the ways to listen, by the formulas and prices of deploy/costs.md.

``python -m tests.benchmarks.bill --write`` writes the tables into that page; without it prints them.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from tests.benchmarks.marked_text import filled

PAGE = Path(__file__).parents[2] / "deploy/costs.md"

MONTH = 730
"""Hours."""
OFFICE = 176
DAYS = 30.4
MILLION = 10**6
SIZES = (1_000, 10_000, 100_000)
EACH = 25
"""Events a day for each page: 25,000 for 1,000 pages."""

VCPU_HOUR, GB_HOUR = 0.03238, 0.00356
ALB_HOUR, LCU_HOUR = 0.0225, 0.008
IPV4_HOUR = 0.005
VALKEY_HOUR, LARGE_VALKEY_HOUR = 0.0256, 0.1264
SQS, SNS = 0.40, 0.50
METRIC, LOG_GB, KEY, SECRET = 0.30, 0.50, 1.00, 0.40
GATEWAY_MINUTES, GATEWAY_MESSAGES = 0.25, 1.00
HTTP_CALLS, MORE_HTTP_CALLS, FIRST_HTTP_CALLS = 1.00, 0.90, 300 * MILLION
APPSYNC_MINUTES, APPSYNC_OPERATIONS = 0.08, 1.00
READ, WRITE = 0.125, 0.625
LAMBDA = 0.20 + 0.05 * 0.125 * 0.0000133334 * MILLION
"""A million calls of 50 ms with 128 MB."""

STREAMS = 10_000
"""That a task holds."""
POLL_KB = 1.1
"""A poll and its answer."""


@dataclass(frozen=True, slots=True)
class Use:
    """How much is listened."""

    pages: int
    """Open at once."""
    hours: float = MONTH
    """A month in which they are open."""
    each: float = EACH

    @property
    def messages(self) -> float:
        """A month."""
        return self.pages * self.each * DAYS

    @property
    def minutes(self) -> float:
        """In which pages are connected."""
        return self.pages * self.hours * 60


def here(use: Use, poll_seconds: float = math.inf) -> float:
    """This service; over streams, sockets and long polls alike, or with a poll of each page every so many seconds."""
    tasks = max(2, math.ceil(use.pages / STREAMS) + (use.pages > STREAMS))
    task_hours = tasks * use.hours + 2 * (MONTH - use.hours)
    connections = max(use.pages / 3000, use.pages / 900 / 25, use.pages / poll_seconds * 3600 * POLL_KB / MILLION)
    valkey = LARGE_VALKEY_HOUR if use.pages >= 100_000 else VALKEY_HOUR
    return sum(
        (
            task_hours * (VCPU_HOUR + 2 * GB_HOUR),
            MONTH * ALB_HOUR + use.hours * LCU_HOUR * connections,
            (task_hours + 2 * MONTH) * IPV4_HOUR,
            2 * MONTH * valkey,
            (task_hours * 3600 / 20 + 3 * use.messages) * SQS / MILLION,
            use.messages * SNS / MILLION,
            10 * METRIC + tasks * 0.1 * LOG_GB + KEY + 2 * SECRET,
        )
    )


def gateway(use: Use) -> float:
    """API Gateway WebSockets, Lambda and DynamoDB."""
    connects = use.pages * use.hours / 2
    return (
        use.minutes * GATEWAY_MINUTES
        + (use.messages + use.minutes / 9) * GATEWAY_MESSAGES
        + use.messages * SNS
        + (use.messages + 2 * connects) * LAMBDA
        + use.messages * 0.5 * READ
        + 2 * connects * WRITE
    ) / MILLION


def appsync(use: Use, *, keep_alives: bool = False) -> float:
    """AppSync Events; ``keep_alives`` if each is billed."""
    operations = 2 * (use.messages + use.pages * use.hours / 24) + (use.minutes if keep_alives else 0)
    return (use.minutes * APPSYNC_MINUTES + operations * APPSYNC_OPERATIONS) / MILLION


def polled(use: Use, seconds: float) -> float:
    """An HTTP API, Lambda and DynamoDB, which each page polls every so many seconds."""
    polls = use.pages * use.hours * 3600 / seconds
    first = min(polls, FIRST_HTTP_CALLS)
    return (
        first * HTTP_CALLS
        + (polls - first) * MORE_HTTP_CALLS
        + (polls + use.messages) * LAMBDA
        + polls * 0.5 * READ
        + use.messages * (WRITE + SNS)
    ) / MILLION


COLUMNS: dict[str, Callable[[Use], float]] = {
    "this service": here,
    "API Gateway WebSockets": gateway,
    "AppSync Events": appsync,
    "if its keep-alives count": lambda use: appsync(use, keep_alives=True),
    "polling API Gateway and Lambda every 60 s": lambda use: polled(use, 60),
    "every 10 s": lambda use: polled(use, 10),
    "every second": lambda use: polled(use, 1),
}


def dearer_from(other: Callable[[Use], float], hours: float) -> int:
    """The number of pages, in two digits, from which another costs more than this service, at that and at any above."""
    dearest = 0
    for pages in (digits * 10**zeros for zeros in (0, 1, 2, 3, 4) for digits in range(10, 100)):
        if other(Use(pages, hours)) <= here(Use(pages, hours)):
            dearest = 0
        elif not dearest:
            dearest = pages
    return dearest


def table(title: str, hours: float) -> list[str]:
    """A table of all sizes."""
    rows = [
        f"| {pages:,} | {' | '.join(f'{cost(Use(pages, hours)):,.0f}' for cost in COLUMNS.values())} |"
        for pages in SIZES
    ]
    return [f"| {title} | {' | '.join(COLUMNS)} |", "|---|" + "---:|" * len(COLUMNS), *rows]


def tables() -> str:
    """The tables of the page."""
    always, largest = Use(1_000), Use(100_000, each=200)
    keep_alives = COLUMNS["if its keep-alives count"]
    facts = (
        ("pages always open from which API Gateway WebSockets cost more than this service", gateway, MONTH),
        ("the same in office hours", gateway, OFFICE),
        ("pages always open from which AppSync Events cost more, if its keep-alives count", keep_alives, MONTH),
        ("pages always open from which polling API Gateway every 10 s costs more", COLUMNS["every 10 s"], MONTH),
        ("pages always open from which polling API Gateway every second costs more", COLUMNS["every second"], MONTH),
    )
    lines = [
        *table(f"pages open at once, always, {EACH} events a day each", MONTH),
        "",
        *table(f"the same in office hours, H = {OFFICE}", OFFICE),
        "",
        "| from these formulas | |",
        "|---|---:|",
        *(f"| {fact} | {dearer_from(cost, hours):,} |" for fact, cost, hours in facts),
        f"| 100,000 pages with 200 events a day each: here, API Gateway WebSockets, AppSync Events "
        f"| {here(largest):,.0f}, {gateway(largest):,.0f}, {appsync(largest):,.0f} |",
        f"| 1,000 pages that poll this service every 10 s, every second "
        f"| {here(always, 10):,.0f}, {here(always, 1):,.0f} |",
    ]
    return "\n".join(lines)


def main() -> int:
    """Print, or write."""
    if "--write" in sys.argv[1:]:
        PAGE.write_text(filled(PAGE.read_text(), "bill", tables()))
    else:
        print(tables())
    return 0


if __name__ == "__main__":
    sys.exit(main())
