"""Publishes the canary, and waits for it."""

from __future__ import annotations

import asyncio
import time
from dataclasses import replace
from typing import TYPE_CHECKING

from consumers.sqs.failures import AWS_ERRORS
from sse_service import aws
from sse_service.doctor.calls import fault
from sse_service.doctor.canary import USER, judge_heard, judge_opening, judge_overrides, judge_publish
from sse_service.doctor.report import Finding, skip
from sse_service.doctor.stream import Stream
from sse_service.task import signer_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sse_service.doctor.canary import Canary
    from sse_service.settings.settings import Settings

WAIT_SECONDS = 30.0
"""For the canary to arrive."""

READY_SECONDS = 10.0
"""For the stream to begin."""

TOKEN_SECONDS = 120


async def fly(
    settings: Settings, canary: Canary, *, url: str, suspects: Sequence[str], wait_seconds: float = WAIT_SECONDS
) -> Finding:
    """Say whether it came; ``suspects`` are the checks that found something before."""
    if finding := judge_overrides(settings):
        return finding
    if not settings.jwt_secret:
        return skip("canary", "there is no SSE_JWT_SECRET to sign a token with")
    token = signer_of(settings).sign(USER, ttl_seconds=TOKEN_SECONDS)
    with Stream(url, token) as stream:
        opening = await asyncio.to_thread(stream.open, ready_seconds=READY_SECONDS)
        if finding := judge_opening(url, opening):
            return finding
        began = time.monotonic()
        try:
            message_id = await aws.publish(settings.topic_arn, canary.message, canary.attributes)
        except (*AWS_ERRORS, RuntimeError, ValueError) as error:
            return judge_publish(fault(error))
        heard = await asyncio.to_thread(stream.wait, canary.id, seconds=wait_seconds)
    if heard.seconds is not None:
        heard = replace(heard, seconds=time.monotonic() - began)
    return judge_heard(heard, message_id=message_id, seconds=wait_seconds, suspects=suspects)
