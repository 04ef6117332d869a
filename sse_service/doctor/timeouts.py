"""``timeouts``: durations in the queue's attributes and in the settings that must fit each other."""

from __future__ import annotations

from typing import TYPE_CHECKING

from consumers.sqs.visibility import LONGEST_HOLD_SECONDS
from sse_service.doctor.report import Finding, fail, ok, skip, warn
from sse_service.streams.registry import EVICTED_RETRY_MS

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sse_service.doctor.redrive import RedrivePolicy
    from sse_service.settings.settings import Settings

ALB_IDLE_SECONDS = 60
"""The default idle timeout of an ALB."""

MIN_VISIBILITY_SECONDS = 10
"""The consumer extends a message after a third of the timeout. With less, one slow answer of SQS is too late."""

LONGEST_RETRY_SECONDS = EVICTED_RETRY_MS[1] // 1000
"""The longest wait before a reconnect that the service tells a page."""


def check_timeouts(
    settings: Settings,
    queue: Mapping[str, str] | None,
    redrive: RedrivePolicy | None,
    dlq: Mapping[str, str] | None,
) -> list[Finding]:
    """Check all durations. ``queue`` and ``dlq`` are the queues' attributes; None if they could not be read."""
    found = _check_history(settings)
    if queue is None:
        return [*found, skip("timeouts", "the queue's attributes are not known")]
    found += _check_queue(queue, dlq)
    visibility = int(queue.get("VisibilityTimeout", 30))
    if redrive is not None:
        found += _check_redelivery(settings, queue, visibility, redrive.max_receives)
    return found or [_all_agree(settings, visibility, redrive)]


def _check_history(settings: Settings) -> list[Finding]:
    if settings.history_seconds >= LONGEST_RETRY_SECONDS:
        return []
    text = (
        f"SSE_HISTORY_SECONDS {settings.history_seconds} is shorter than {LONGEST_RETRY_SECONDS} s, the longest wait "
        "before a page reconnects: each such page gets a gap"
    )
    return [warn("timeouts", text, f"raise it to at least {LONGEST_RETRY_SECONDS}; 3600 is the default")]


def _check_queue(queue: Mapping[str, str], dlq: Mapping[str, str] | None) -> list[Finding]:
    found = []
    visibility, retention = int(queue.get("VisibilityTimeout", 30)), int(queue.get("MessageRetentionPeriod", 345_600))
    if visibility < MIN_VISIBILITY_SECONDS:
        text = f"VisibilityTimeout is {visibility} s: after one slow answer of SQS, a message is delivered again"
        found.append(warn("timeouts", text, "set it to 30"))
    if int(queue.get("DelaySeconds", 0)):
        text = f"DelaySeconds is {queue['DelaySeconds']}: every event is late by as much"
        found.append(warn("timeouts", text, "set it to 0"))
    if retention < LONGEST_HOLD_SECONDS:
        text = (
            f"MessageRetentionPeriod is {retention} s: messages that wait longer for the store or for a task are lost; "
            "the service waits up to 12 hours"
        )
        found.append(warn("timeouts", text, f"raise it to at least {LONGEST_HOLD_SECONDS}"))
    if dlq is not None and (kept := int(dlq.get("MessageRetentionPeriod", retention))) < retention:
        text = (
            f"the dead-letter queue keeps messages {kept} s and the queue {retention} s, both counted from when they "
            "were sent: an old message expires as soon as it gets there"
        )
        found.append(warn("timeouts", text, "raise the dead-letter queue's MessageRetentionPeriod"))
    return found


def _check_redelivery(
    settings: Settings, queue: Mapping[str, str], visibility: int, max_receives: int
) -> list[Finding]:
    found = []
    last = visibility * max_receives
    product = f"VisibilityTimeout {visibility} s x maxReceiveCount {max_receives} = {last} s is longer than"
    if last > settings.dedupe_seconds:
        text = f"{product} SSE_DEDUPE_SECONDS {settings.dedupe_seconds}: a message that is redelivered after that "
        text += "is shown twice"
        found.append(fail("timeouts", text, f"raise SSE_DEDUPE_SECONDS to {last}, or lower one of the two"))
    retention = int(queue.get("MessageRetentionPeriod", 345_600))
    if last > retention:
        text = (
            f"{product} MessageRetentionPeriod {retention}: a message that is not understood expires before it becomes "
            "a dead letter"
        )
        found.append(warn("timeouts", text, "lower one of the two, or raise MessageRetentionPeriod"))
    return found


def _all_agree(settings: Settings, visibility: int, redrive: RedrivePolicy | None) -> Finding:
    redelivery = f"VisibilityTimeout {visibility} s"
    if redrive is not None:
        redelivery += f" x {redrive.max_receives} within SSE_DEDUPE_SECONDS {settings.dedupe_seconds}"
    heartbeat = f"a heartbeat every {settings.heartbeat_seconds} s within an ALB's {ALB_IDLE_SECONDS} s"
    return ok("timeouts", f"{redelivery}; history of {settings.history_seconds} s; {heartbeat}")
