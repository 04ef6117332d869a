"""All attacks by name, and a program that carries them out. Several attacks run at the same time.

It prints ``begin NAME`` when an attack begins, and a line of JSON when it ends.
"""

from __future__ import annotations

import argparse
import asyncio
import random

import uvloop

from tests.faults.attack_reconnects import backlog, storm
from tests.faults.attack_requests import bodies, header_bombs, pipelined, rubbish, slow_heads
from tests.faults.attack_stalled_readers import never_read
from tests.faults.attack_streams import OPENS_PER_SECOND, bad_tokens, churn, descriptors, greedy, one_user
from tests.faults.attack_target import Attack, Outcome, Target

ATTACKS: dict[str, Attack] = {
    "slow heads": slow_heads,
    "header bombs": header_bombs,
    "rubbish": rubbish,
    "pipelined": pipelined,
    "bodies": bodies,
    "churn": churn,
    "bad tokens": bad_tokens,
    "one user": one_user,
    "storm": storm,
    "backlog": backlog,
    "never read": never_read,
}

LIMITED: dict[str, Attack] = {"descriptors": descriptors}
"""Attacks on a service with few descriptors."""

PACED: dict[str, Attack] = {"greedy": greedy}
"""Attacks on a service that allows few new streams a second (``PACE``)."""

PACE = {"opens_per_second": str(OPENS_PER_SECOND)}

EVERY = {**ATTACKS, **LIMITED, **PACED}


async def carry_out(name: str, target: Target) -> None:
    outcome = Outcome(name)
    try:
        await EVERY[name](target, outcome)
    except Exception as error:
        outcome.wrong.append(f"the attack itself failed: {error!r}")
        raise
    finally:
        print(outcome.line, flush=True)


async def carry_out_all(given: argparse.Namespace) -> None:
    await asyncio.gather(
        *(
            carry_out(
                name,
                Target(
                    port=given.port,
                    queue=given.queue,
                    seconds=given.seconds,
                    scale=given.scale,
                    random=random.Random(f"{given.seed} {name}"),
                ),
            )
            for name in given.names
        )
    )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="+", choices=sorted(EVERY))
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--queue", required=True)
    parser.add_argument("--seconds", type=float, default=10)
    parser.add_argument("--scale", type=float, default=1)
    parser.add_argument("--seed", type=int, default=0)
    uvloop.run(carry_out_all(parser.parse_args()))
