"""``redrive``: the dead-letter queue, to which messages go that cannot be understood."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sse_service.doctor.aws_calls import Fault
from sse_service.doctor.report import Finding, fail, ok, warn

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sse_service.doctor.aws_calls import Answer

MIN_RECEIVES = 3
"""Each kill of a task costs the messages it held one receive. With fewer, good messages become dead letters."""


@dataclass(frozen=True, slots=True)
class RedrivePolicy:
    """A queue's redrive policy."""

    target_arn: str
    max_receives: int

    @property
    def name(self) -> str:
        """The name of the dead-letter queue."""
        return self.target_arn.rpartition(":")[2]

    @property
    def account(self) -> str:
        """The account of the dead-letter queue."""
        return self.target_arn.split(":")[4] if self.target_arn.count(":") >= 5 else ""


def read_redrive_policy(attributes: Mapping[str, str]) -> RedrivePolicy | None:
    """Read the policy from a queue's attributes; None if it has none."""
    policy = _json_object(attributes.get("RedrivePolicy", ""))
    try:
        return RedrivePolicy(str(policy["deadLetterTargetArn"]), int(policy["maxReceiveCount"]))
    except (KeyError, TypeError, ValueError):
        return None


def check_redrive(policy: RedrivePolicy | None, queue_arn: str, dlq: Answer | None) -> list[Finding]:
    """Check a queue's redrive policy.

    ``dlq`` is the answer to sqs:GetQueueAttributes for the dead-letter queue, or to sqs:GetQueueUrl if that failed.
    """
    if policy is None or dlq is None:
        fix = (
            "set RedrivePolicy with maxReceiveCount 5; without it a message that is not understood comes back until it "
            "expires"
        )
        return [fail("redrive", "the queue has no dead-letter queue", fix)]
    found = []
    if policy.max_receives < MIN_RECEIVES:
        text = f"maxReceiveCount is {policy.max_receives}: each kill of a task costs the messages it held one receive"
        found.append(warn("redrive", text, "set it to 5"))
    if isinstance(dlq, Fault):
        return [*found, _explain(dlq, policy)]
    attributes: Mapping[str, str] = dlq.get("Attributes", {})
    if not _accepts(attributes, queue_arn):
        text = f"{policy.name} does not accept messages from this queue (RedriveAllowPolicy)"
        return [*found, fail("redrive", text, f"add {queue_arn} to its sourceQueueArns")]
    held = attributes.get("ApproximateNumberOfMessages", "0")
    if held != "0":
        fix = "read them, look up their ids in the log, then redrive or purge them"
        return [*found, warn("redrive", f"{policy.name} holds {held} messages", fix)]
    return [*found, ok("redrive", f"to {policy.name} after {policy.max_receives} receives; it is empty")]


def _explain(fault: Fault, policy: RedrivePolicy) -> Finding:
    if fault.fix:
        return fail("redrive", f"SQS cannot be asked ({fault.code})", fault.fix)
    if fault.absent:
        fix = (
            "create it, or set another RedrivePolicy; until then messages that are not understood are lost when they "
            "expire"
        )
        return fail("redrive", f"{policy.name} does not exist ({fault.code})", fix)
    fix = "allow the task's role sqs:GetQueueUrl and sqs:GetQueueAttributes on it, or check it yourself"
    return warn("redrive", f"{policy.name} could not be checked ({fault.code})", fix)


def _accepts(attributes: Mapping[str, str], queue_arn: str) -> bool:
    policy = _json_object(attributes.get("RedriveAllowPolicy", ""))
    permission = policy.get("redrivePermission", "allowAll")
    return permission == "allowAll" or (permission == "byQueue" and queue_arn in policy.get("sourceQueueArns", ()))


def _json_object(text: str) -> dict[str, Any]:
    try:
        found = json.loads(text)
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}
