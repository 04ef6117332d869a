"""Attacks a service in every way that a client can, and measures the effect on other clients.

``python -m tests.faults.floods --seconds 15 --seed 7`` prints a table. The exit status is 1 if a well-behaved stream
lost, doubled or reordered an event or got a heartbeat late, or if something was not released.
"""

from __future__ import annotations

import argparse
import asyncio
import random
import sys
from contextlib import AsyncExitStack
from typing import Any

from tests.faults.attack_target import Attack
from tests.faults.attacks import ATTACKS, EVERY, LIMITED, PACE, PACED
from tests.faults.cluster import say
from tests.faults.flood_run import HEARTBEAT_SECONDS, Flood, Result, flood

FEW_DESCRIPTORS = 256

COLUMNS = "| attack | sent | answers | p50 ms | p99 ms | max ms | silence s | peak MB | after MB | fds | back after s |"


def row(name: str, result: Result) -> str:
    """Return one line of the table."""
    window = result.window
    answers = [f"{count} x {answer}" for outcome in result.outcomes for answer, count in outcome.answers.most_common()]
    notes = [note for outcome in result.outcomes for note in outcome.notes]
    cells = [
        name,
        "; ".join(outcome.sent for outcome in result.outcomes),
        ", ".join([*answers, *notes]),
        *(f"{window.delay(part) * 1000:.0f}" for part in (0.5, 0.99, 1)),
        f"{window.silence:.1f}",
        f"{result.peak / 1e6:.0f}",
        f"{result.after / 1e6:.0f}",
        str(result.descriptors),
        f"{result.recovery:.0f}",
    ]
    return f"| {' | '.join(cells)} |"


async def floods(*, names: list[str], seconds: float, seed: int, valkey: bool) -> list[str]:
    """Print the table and return everything that went wrong."""
    say(f"floods with seed {seed}; SSE_HEARTBEAT_SECONDS is {HEARTBEAT_SECONDS}")
    print(COLUMNS)
    print("|---" * COLUMNS.count(" | ") + "|---|")
    wrong = []

    def tell(name: str, result: Result) -> None:
        print(row(name, result), flush=True)
        for text in result.wrong:
            say(f"{name}: {text}")
        wrong.extend(result.wrong)

    groups: list[tuple[dict[str, Attack], dict[str, Any]]] = [
        (ATTACKS, {}),
        (LIMITED, {"descriptors": FEW_DESCRIPTORS, "users": 4}),
        (PACED, PACE),
    ]
    for group, options in groups:
        chosen = [name for name in names if name in group]
        if not chosen:
            continue
        async with AsyncExitStack() as stack:
            attacked: Flood = await stack.enter_async_context(
                flood(seconds=seconds, seed=seed, valkey=valkey, **options)
            )
            tell("(none)", await attacked.calm(max(seconds, HEARTBEAT_SECONDS * 2)))
            for name in chosen:
                result = await attacked.attacked(name)
                if group is LIMITED:
                    result.wrong += check_log(attacked)
                tell(name, result)
    return wrong


def check_log(attacked: Flood) -> list[str]:
    """Return what is wrong with the log of a service that had too few descriptors."""
    lines = [
        line
        for line in attacked.service.process.output.splitlines()
        if "descriptors" in line.lower() or "too many open files" in line.lower()
    ]
    # One line about the limit at start and one every ten seconds under attack are fine. One per connection is not.
    return [] if 1 <= len(lines) < 100 else [f"{len(lines)} lines of the log are about descriptors"]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=15, help="for each attack")
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(2**32))
    parser.add_argument("--valkey", action="store_true", help="history in a Valkey server")
    parser.add_argument("--only", action="append", default=[], choices=EVERY, help="may be repeated")
    given = parser.parse_args()
    names = given.only or [*EVERY]
    wrong = asyncio.run(floods(names=names, seconds=given.seconds, seed=given.seed, valkey=given.valkey))
    say(f"{len(wrong)} things went wrong")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
