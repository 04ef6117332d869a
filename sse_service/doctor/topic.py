"""``topic``: the SNS topic that producers publish to."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sse_service.doctor.aws_calls import Fault
from sse_service.doctor.report import Finding, fail, ok, warn

if TYPE_CHECKING:
    from sse_service.doctor.aws_calls import Answer


def check_topic_arn(arn: str, region: str) -> Finding | None:
    """Check the setting itself. Return None if SNS can be asked about it."""
    if not arn:
        fix = "set it to the topic of the queue's subscription; without it, the path from topic to queue is not checked"
        return fail("topic", "SSE_TOPIC_ARN is not set", fix)
    if (elsewhere := arn.split(":")[3]) != region:
        text = f"it is in {elsewhere}, the task in {region}: `publish` does not reach it from here"
        return warn("topic", text, f"run this command in a task in {elsewhere}, or check SSE_TOPIC_ARN")
    return None


def check_topic(arn: str, answer: Answer) -> Finding:
    """Check the answer to sns:GetTopicAttributes."""
    if isinstance(answer, Fault):
        return _explain(answer)
    if answer.get("Attributes", {}).get("FifoTopic") == "true":
        fix = "use a standard topic: `publish` and the canary send no MessageGroupId"
        return warn("topic", f"{arn} is a FIFO topic", fix)
    return ok("topic", arn)


def _explain(fault: Fault) -> Finding:
    if fault.fix:
        return fail("topic", f"SNS cannot be asked ({fault.code})", fault.fix)
    if fault.absent:
        return fail("topic", f"SSE_TOPIC_ARN does not exist ({fault.code})", "check its name and account")
    if fault.denied:
        fix = "allow the task's role sns:GetTopicAttributes on it, or check it yourself"
        return warn("topic", f"it could not be checked ({fault.code})", fix)
    if fault.unreachable:
        fix = (
            "give the subnet a NAT gateway or a VPC endpoint for sns: `publish` and `doctor` need it, `serve` does not"
        )
        return fail("topic", f"SNS does not answer ({fault.code})", fix)
    return fail("topic", f"SNS refuses the call ({fault.code})", "check SSE_TOPIC_ARN")
