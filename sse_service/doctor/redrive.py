"""The dead-letter queue, to which goes what cannot be understood."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sse_service.doctor.calls import Fault
from sse_service.doctor.report import Finding, fail, ok, warn

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sse_service.doctor.calls import Answer

FEW_RECEIVES = 3
"""A task that is killed costs what it held one receive: fewer, and sound messages end as dead letters."""


@dataclass(frozen=True, slots=True)
class Redrive:
    """A queue's redrive policy."""

    target_arn: str
    max_receives: int

    @property
    def name(self) -> str:
        """The dead-letter queue's."""
        return self.target_arn.rpartition(":")[2]

    @property
    def account(self) -> str:
        """The dead-letter queue's."""
        return self.target_arn.split(":")[4] if self.target_arn.count(":") >= 5 else ""


def read(attributes: Mapping[str, str]) -> Redrive | None:
    """The policy in a queue's attributes; None where it has none."""
    policy = _json(attributes.get("RedrivePolicy", ""))
    try:
        return Redrive(str(policy["deadLetterTargetArn"]), int(policy["maxReceiveCount"]))
    except (KeyError, TypeError, ValueError):
        return None


def judge_redrive(redrive: Redrive | None, queue_arn: str, dead: Answer | None) -> list[Finding]:
    """``dead`` is what SQS answered about the dead-letter queue, or to the question for its URL."""
    if redrive is None or dead is None:
        do = "set its RedrivePolicy, maxReceiveCount 5; without, what is not understood comes again until it expires"
        return [fail("redrive", "the queue has no dead-letter queue", do)]
    found = []
    if redrive.max_receives < FEW_RECEIVES:
        text = f"maxReceiveCount is {redrive.max_receives}: a task that is killed costs what it held one receive"
        found.append(warn("redrive", text, "set it to 5"))
    if isinstance(dead, Fault):
        return [*found, _fault(dead, redrive)]
    attributes: Mapping[str, str] = dead.get("Attributes", {})
    if not _allows(attributes, queue_arn):
        text = f"{redrive.name} does not take messages from this queue (RedriveAllowPolicy)"
        return [*found, fail("redrive", text, f"add {queue_arn} to its sourceQueueArns")]
    held = attributes.get("ApproximateNumberOfMessages", "0")
    if held != "0":
        text = f"{redrive.name} holds {held} messages"
        do = "look at them, and in the log for their ids (README, Publish says what is refused); then purge or redrive"
        return [*found, warn("redrive", text, do)]
    return [*found, ok("redrive", f"to {redrive.name} after {redrive.max_receives} receives, which is empty")]


def _fault(fault: Fault, redrive: Redrive) -> Finding:
    if fault.absent:
        do = "make it anew, or set another RedrivePolicy; till then what is not understood is lost when it expires"
        return fail("redrive", f"{redrive.name} is not there ({fault.code})", do)
    do = "allow the task's role sqs:GetQueueUrl and sqs:GetQueueAttributes on it, or look yourself"
    return warn("redrive", f"{redrive.name} could not be looked at ({fault.code})", do)


def _allows(attributes: Mapping[str, str], queue_arn: str) -> bool:
    policy = _json(attributes.get("RedriveAllowPolicy", ""))
    permission = policy.get("redrivePermission", "allowAll")
    return permission == "allowAll" or (permission == "byQueue" and queue_arn in policy.get("sourceQueueArns", ()))


def _json(text: str) -> dict[str, Any]:
    try:
        found = json.loads(text)
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}
