"""``queue``: the SQS queue that the service reads."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from sse_service.doctor.aws_calls import Fault
from sse_service.doctor.report import Finding, fail, ok, warn

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sse_service.doctor.aws_calls import Answer

SNS_MESSAGE_BYTES = 262_144
"""The largest message that SNS accepts."""

_AWS = re.compile(r".*\.(amazonaws\.com(\.cn)?|api\.aws)")
_REGION = re.compile(r"(?:^|\.)([a-z]{2}(?:-[a-z]+)+-\d+)\.")


def region_of(url: str) -> str | None:
    """Return the region in a queue's URL; None for an emulator's URL."""
    host = urlsplit(url).hostname or ""
    match = _REGION.search(host) if _AWS.fullmatch(host) else None
    return match[1] if match else None


def check_queue(url: str, region: str, answer: Answer) -> list[Finding]:
    """Check the answer to sqs:GetQueueAttributes."""
    elsewhere = region_of(url)
    if elsewhere not in (None, region):
        fix = "set AWS_REGION to the queue's region, or SSE_QUEUE_URL to a queue in the task's region"
        return [fail("queue", f"SSE_QUEUE_URL is in {elsewhere}, the task in {region}", fix)]
    if isinstance(answer, Fault):
        return [_explain(answer)]
    attributes: Mapping[str, str] = answer.get("Attributes", {})
    if attributes.get("FifoQueue") == "true":
        return [fail("queue", "it is a FIFO queue", "use a standard queue: FIFO queues are not supported")]
    waiting = attributes.get("ApproximateNumberOfMessages", "?")
    found = [ok("queue", f"{attributes.get('QueueArn', url)}, standard, {waiting} messages waiting")]
    largest = int(attributes.get("MaximumMessageSize", SNS_MESSAGE_BYTES))
    if largest < SNS_MESSAGE_BYTES:
        text = f"MaximumMessageSize is {largest}: larger messages, which SNS accepts, never arrive"
        found.append(warn("queue", text, f"raise it to {SNS_MESSAGE_BYTES} or more"))
    return found


def _explain(fault: Fault) -> Finding:
    if fault.fix:
        return fail("queue", f"SQS cannot be asked ({fault.code})", fault.fix)
    if fault.absent:
        fix = (
            "check SSE_QUEUE_URL, its account and its region; SQS gives the same answer to a role without any "
            "permission on the queue"
        )
        return fail("queue", f"there is no queue at SSE_QUEUE_URL ({fault.code})", fix)
    if fault.denied:
        fix = (
            "allow the task's role sqs:ReceiveMessage, sqs:DeleteMessage, sqs:ChangeMessageVisibility and "
            "sqs:GetQueueAttributes on the queue"
        )
        return fail("queue", f"its attributes may not be read ({fault.code})", fix)
    if fault.unreachable:
        fix = (
            "give the subnet a NAT gateway or a VPC endpoint for sqs, and check its security group; or check "
            "AWS_ENDPOINT_URL"
        )
        return fail("queue", f"SQS does not answer ({fault.code})", fix)
    if fault.credentials:
        return fail("queue", f"SQS refuses the credentials ({fault.code})", "see credentials and clock above")
    return fail("queue", f"SQS refuses the call ({fault.code})", "check SSE_QUEUE_URL")
