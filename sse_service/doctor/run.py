"""All checks, in the order in which one depends on another."""

from __future__ import annotations

from typing import TYPE_CHECKING

from botocore.exceptions import BotoCoreError

from sse_service import aws
from sse_service.doctor import canary, store_server, trial
from sse_service.doctor.calls import Calls
from sse_service.doctor.deployment import Deployment, skip_all
from sse_service.doctor.host import judge_descriptors, judge_settings
from sse_service.doctor.identity import judge_region
from sse_service.doctor.report import Level, Report, skip
from sse_service.http import descriptors

if TYPE_CHECKING:
    from collections.abc import Callable

    from sse_service.settings.settings import Settings


async def examine(
    settings: Settings,
    *,
    url: str,
    refused: str | None,
    write: Callable[[str], None],
    wait_seconds: float = trial.WAIT_SECONDS,
) -> bool:
    """Write a line for each check, and give whether none failed; ``refused`` is why `serve` would not start."""
    report, bird = Report(write), canary.make()
    report.add([judge_settings(settings, refused)])
    stopped = await _aws(settings, report, bird)
    report.add(await store_server.look(settings))
    report.add([judge_descriptors(descriptors.raise_limit(), settings.max_streams)])
    if stopped is not None:
        report.add([skip("canary", stopped)])
    else:
        suspects = report.named(Level.FAIL, Level.WARN)
        report.add([await trial.fly(settings, bird, url=url, suspects=suspects, wait_seconds=wait_seconds)])
    return not report.failed


async def _aws(settings: Settings, report: Report, bird: canary.Canary) -> str | None:
    """Why no canary can be sent; None where one may."""
    region, problem = None, None
    try:
        region = aws.region()
    except BotoCoreError as error:
        problem = str(error)
    report.add([judge_region(region, problem)])
    if region is None:
        why = "there is no region to ask in"
        report.add([skip("credentials", why), skip("clock", why)])
        skip_all(settings, report, why)
        return why
    async with Calls(region) as calls:
        return await Deployment(settings, region=region, calls=calls, report=report, canary=bird).look()
