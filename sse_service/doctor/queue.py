"""The queue that is read."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from sse_service.doctor.calls import Fault
from sse_service.doctor.report import Finding, fail, ok, warn

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sse_service.doctor.calls import Answer

SNS_MESSAGE_BYTES = 262_144
"""What SNS takes."""

_AWS = re.compile(r".*\.(amazonaws\.com(\.cn)?|api\.aws)")
_REGION = re.compile(r"(?:^|\.)([a-z]{2}(?:-[a-z]+)+-\d+)\.")


def region_of(url: str) -> str | None:
    """The region that a queue's URL names; None for an emulator's."""
    host = urlsplit(url).hostname or ""
    match = _REGION.search(host) if _AWS.fullmatch(host) else None
    return match[1] if match else None


def judge_queue(url: str, region: str, answer: Answer) -> list[Finding]:
    """From sqs:GetQueueAttributes."""
    elsewhere = region_of(url)
    if elsewhere not in (None, region):
        do = "set AWS_REGION to the queue's, or SSE_QUEUE_URL to a queue of the task's"
        return [fail("queue", f"SSE_QUEUE_URL is in {elsewhere}, the task in {region}", do)]
    if isinstance(answer, Fault):
        return [_fault(answer)]
    attributes: Mapping[str, str] = answer.get("Attributes", {})
    if attributes.get("FifoQueue") == "true":
        return [fail("queue", "it is a FIFO queue", "make a standard one: FIFO queues are not supported")]
    waiting = attributes.get("ApproximateNumberOfMessages", "?")
    found = [ok("queue", f"{attributes.get('QueueArn', url)}, standard, {waiting} messages waiting")]
    largest = int(attributes.get("MaximumMessageSize", SNS_MESSAGE_BYTES))
    if largest < SNS_MESSAGE_BYTES:
        text = f"MaximumMessageSize is {largest}: what SNS took and is larger never gets here"
        found.append(warn("queue", text, f"raise it to {SNS_MESSAGE_BYTES} or more"))
    return found


def _fault(fault: Fault) -> Finding:
    if fault.do:
        return fail("queue", f"SQS cannot be asked ({fault.code})", fault.do)
    if fault.absent:
        do = (
            "look at SSE_QUEUE_URL, its account and its region; SQS says the same where the role may do nothing with it"
        )
        return fail("queue", f"there is none at SSE_QUEUE_URL ({fault.code})", do)
    if fault.denied:
        do = (
            "allow the task's role sqs:ReceiveMessage, sqs:DeleteMessage, sqs:ChangeMessageVisibility and "
            "sqs:GetQueueAttributes on it"
        )
        return fail("queue", f"its attributes may not be read ({fault.code})", do)
    if fault.unreachable:
        do = "give the subnet a NAT or a VPC endpoint for sqs, and look at its security group; or AWS_ENDPOINT_URL"
        return fail("queue", f"SQS does not answer ({fault.code})", do)
    if fault.credentials:
        return fail("queue", f"SQS refuses the credentials ({fault.code})", "see credentials and clock")
    return fail("queue", f"SQS refuses to say anything about it ({fault.code})", "look at SSE_QUEUE_URL")
