"""Measures the CPU time of one SQS message: received in batches of ten, unwrapped, routed, deleted in batches of ten.

``python -m tests.benchmarks.consumer [--json FILE]`` runs the project's consumer and aiobotocore without any option
against a canned SQS on another core. They take turns in one process, because no machine is quiet: trust the ratio, not
the microseconds.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import resource
import statistics
import subprocess
import sys
from collections.abc import Callable, Coroutine, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import uvloop
from aiobotocore.session import AioSession

from consumers.envelope import unwrap
from consumers.sqs.consumer import SQSConsumer
from sse_service import aws
from sse_service.model.events import Route
from sse_service.routing.ingest import Ingest
from sse_service.routing.router import Router
from sse_service.telemetry.metrics import Metrics
from tests.benchmarks.sqs_canned import BATCH

URL = "http://127.0.0.1/123456789012/events"
ROUNDS = 5
SLICE = 500
"""Messages in one turn."""
KEYS = {"AWS_ACCESS_KEY_ID": "key", "AWS_SECRET_ACCESS_KEY": "secret", "AWS_REGION": "eu-west-1"}


class Meter:
    """CPU time of this process between ``start`` and ``stop``."""

    def __init__(self) -> None:
        self.spent = 0.0
        self.runs = False
        self._started = 0.0

    def start(self) -> None:
        self.runs, self._started = True, cpu()

    def stop(self) -> None:
        self.spent += cpu() - self._started
        self.runs = False


def cpu() -> float:
    """User and system time of this process, in seconds."""
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


class Broker:
    """Stores nothing."""

    async def publish(self, routes: Sequence[Route]) -> None:
        return None


class Observer:
    """Starts the meter at the first receive; stops meter and consumer when enough messages are deleted."""

    def __init__(self, meter: Meter, messages: int) -> None:
        self._meter = meter
        self._left = messages
        self.consumer: SQSConsumer | None = None

    def received(self, messages: int, /) -> None:
        if self._left > 0 and not self._meter.runs:
            self._meter.start()

    def deleted(self, messages: int, /) -> None:
        self._left -= messages
        if self._left <= 0 and self._meter.runs:
            self._meter.stop()
            assert self.consumer is not None
            self.consumer.stop()

    def failed(self, operation: str, code: str, /) -> None:
        raise AssertionError(f"{operation}: {code}")

    def rejected(self, reason: str, /) -> None:
        raise AssertionError(reason)


async def stock(meter: Meter, messages: int) -> None:
    """The loop that one would write with aiobotocore alone."""
    router = Router()
    async with AioSession().create_client("sqs", region_name=KEYS["AWS_REGION"]) as sqs:
        for n in range(messages // BATCH + 1):
            if n == 1:
                meter.start()
            got = await sqs.receive_message(
                QueueUrl=URL,
                MaxNumberOfMessages=BATCH,
                WaitTimeSeconds=20,
                MessageAttributeNames=["All"],
                MessageSystemAttributeNames=["SentTimestamp"],
            )
            found = got["Messages"]
            for message in found:
                routing = router.route(unwrap(message_id=message["MessageId"], body=message["Body"]))
                assert routing.routes
            await sqs.delete_message_batch(
                QueueUrl=URL,
                Entries=[{"Id": str(n), "ReceiptHandle": m["ReceiptHandle"]} for n, m in enumerate(found)],
            )
        meter.stop()


async def ours(meter: Meter, messages: int) -> None:
    """The service's consumer and ingest with one poller."""
    observer = Observer(meter, messages)
    broker: Any = Broker()
    observer.consumer = SQSConsumer(
        connect=lambda: aws.connect_sqs(pollers=1),
        queue_url=URL,
        handler=Ingest(router=Router(), broker=broker, metrics=Metrics()),
        observer=observer,
        pollers=1,
        dedupe_seconds=900,
    )
    await observer.consumer.run()


Variant = Callable[[Meter, int], Coroutine[Any, Any, None]]
STOCK = "stock aiobotocore"
VARIANTS: dict[str, Variant] = {STOCK: stock, "consumer": ours}


@contextmanager
def canned(core: int) -> Iterator[str]:
    """Run the canned SQS in a process of its own."""
    command = [sys.executable, "-m", "tests.benchmarks.sqs_canned", str(core)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            yield process.stdout.readline().strip()
        finally:
            process.kill()


def measure(variants: Mapping[str, Variant], messages: int) -> dict[str, list[float]]:
    """Microseconds per message, by variant and round; the variants take turns within a round."""
    slices = max(1, messages // SLICE)
    spent: dict[str, list[float]] = {name: [] for name in variants}
    for number in range(-1, ROUNDS):
        meters = {name: Meter() for name in variants}
        for _ in range(slices if number >= 0 else 1):
            for name, variant in variants.items():
                uvloop.run(variant(meters[name], SLICE))
        if number >= 0:
            for name, meter in meters.items():
                spent[name].append(meter.spent / (slices * SLICE) * 1e6)
    return spent


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures there")
    parser.add_argument("--messages", type=int, default=5000, help="messages of a round, by each")
    options = parser.parse_args(arguments)
    cores = sorted(os.sched_getaffinity(0))
    os.sched_setaffinity(0, {cores[0]})
    with canned(cores[-1]) as endpoint:
        os.environ |= {**KEYS, "AWS_ENDPOINT_URL": endpoint}
        spent = measure(VARIANTS, options.messages)
    medians = {name: statistics.median(figures) for name, figures in spent.items()}
    # Ratios within a round: a disturbance affects both variants of the round.
    ratios = {
        name: statistics.median(mine / theirs for mine, theirs in zip(figures, spent[STOCK], strict=True))
        for name, figures in spent.items()
    }
    print(f"Python {platform.python_version()}, uvloop, {options.messages} messages a round, medians of {ROUNDS}\n")
    print("| variant | us/message | x stock |\n|---|---:|---:|")
    for name, figure in medians.items():
        print(f"| {name} | {figure:.1f} | {ratios[name]:.2f} |")
    if options.json:
        found = {
            "python": platform.python_version(),
            "messages": options.messages,
            "us_per_message": medians,
            "x_stock": ratios,
            "rounds": spent,
        }
        options.json.write_text(json.dumps(found, indent=2) + "\n")


if __name__ == "__main__":
    main()
