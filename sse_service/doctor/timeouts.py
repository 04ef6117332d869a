"""Times, of the queue and of the settings, that must agree with each other."""

from __future__ import annotations

from typing import TYPE_CHECKING

from consumers.sqs.visibility import LONGEST_HOLD
from sse_service.doctor.report import Finding, fail, ok, skip, warn
from sse_service.streams.registry import EVICTED_RETRY_MS

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sse_service.doctor.redrive import Redrive
    from sse_service.settings.settings import Settings

ALB_IDLE_SECONDS = 60
"""An ALB's idle timeout, unless set otherwise."""

SHORT_VISIBILITY = 10
"""Holds are extended at a third of it: below, a slow answer of SQS is enough to lose one."""

LONGEST_RETRY = EVICTED_RETRY_MS[1] // 1000
"""Seconds after which a page comes back at the latest, of those that are told when."""


def judge_timeouts(
    settings: Settings,
    queue: Mapping[str, str] | None,
    redrive: Redrive | None,
    dead: Mapping[str, str] | None,
) -> list[Finding]:
    """Attributes are None where they could not be read."""
    found = _of_settings(settings)
    if queue is None:
        return [*found, skip("timeouts", "those of the queue: its attributes are not known")]
    found += _of_queue(queue, dead)
    visibility = int(queue.get("VisibilityTimeout", 30))
    if redrive is not None:
        found += _of_redrive(settings, queue, visibility * redrive.max_receives, visibility, redrive.max_receives)
    return found or [_fine(settings, visibility, redrive)]


def _of_settings(settings: Settings) -> list[Finding]:
    found = []
    if settings.history_seconds < LONGEST_RETRY:
        text = (
            f"SSE_HISTORY_SECONDS {settings.history_seconds} is shorter than the {LONGEST_RETRY} s after which a page "
            "may be told to come back: it is told a gap each time"
        )
        found.append(warn("timeouts", text, f"raise it to {LONGEST_RETRY} at least; 3600 is the default"))
    return found


def _of_queue(queue: Mapping[str, str], dead: Mapping[str, str] | None) -> list[Finding]:
    found = []
    visibility, retention = int(queue.get("VisibilityTimeout", 30)), int(queue.get("MessageRetentionPeriod", 345_600))
    if visibility < SHORT_VISIBILITY:
        text = f"VisibilityTimeout is {visibility} s: one slow answer of SQS, and a message in hand comes again"
        found.append(warn("timeouts", text, "set it to 30"))
    if int(queue.get("DelaySeconds", 0)):
        text = f"DelaySeconds is {queue['DelaySeconds']}: every event is so much late"
        found.append(warn("timeouts", text, "set it to 0"))
    if retention < LONGEST_HOLD:
        text = (
            f"MessageRetentionPeriod is {retention} s: what waits longer for a store that is away, or for a task, is "
            "lost; the service would wait 12 hours"
        )
        found.append(warn("timeouts", text, f"raise it to {LONGEST_HOLD} at least"))
    if dead is not None and (kept := int(dead.get("MessageRetentionPeriod", retention))) < retention:
        text = (
            f"the dead-letter queue keeps messages {kept} s and the queue {retention} s, both counted from when they "
            "were sent: an old one is gone as it gets there"
        )
        found.append(warn("timeouts", text, "raise the dead-letter queue's MessageRetentionPeriod"))
    return found


def _of_redrive(
    settings: Settings, queue: Mapping[str, str], redelivered: int, visibility: int, receives: int
) -> list[Finding]:
    found = []
    if redelivered > settings.dedupe_seconds:
        text = (
            f"VisibilityTimeout {visibility} s x maxReceiveCount {receives} = {redelivered} s is longer than "
            f"SSE_DEDUPE_SECONDS {settings.dedupe_seconds}: a message that comes again so late is shown twice"
        )
        found.append(fail("timeouts", text, f"raise SSE_DEDUPE_SECONDS to {redelivered}, or lower one of the two"))
    retention = int(queue.get("MessageRetentionPeriod", 345_600))
    if redelivered > retention:
        text = (
            f"VisibilityTimeout {visibility} s x maxReceiveCount {receives} = {redelivered} s is longer than "
            f"MessageRetentionPeriod {retention}: what is not understood expires before it is a dead letter"
        )
        found.append(warn("timeouts", text, "lower one of the two, or raise MessageRetentionPeriod"))
    return found


def _fine(settings: Settings, visibility: int, redrive: Redrive | None) -> Finding:
    redelivery = f"VisibilityTimeout {visibility} s"
    if redrive is not None:
        redelivery += f" x {redrive.max_receives} within SSE_DEDUPE_SECONDS {settings.dedupe_seconds}"
    heartbeat = f"a heartbeat each {settings.heartbeat_seconds} s within an ALB's {ALB_IDLE_SECONDS} s"
    return ok("timeouts", f"{redelivery}; history of {settings.history_seconds} s; {heartbeat}")
