"""The topic to which producers publish."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sse_service.doctor.calls import Fault
from sse_service.doctor.report import Finding, fail, ok, warn

if TYPE_CHECKING:
    from sse_service.doctor.calls import Answer


def judge_topic_arn(arn: str, region: str) -> Finding | None:
    """What is wrong with the setting itself."""
    if not arn:
        do = "set it to the topic that the queue is subscribed to; without, nothing between it and the queue is checked"
        return fail("topic", "SSE_TOPIC_ARN is not set", do)
    if (elsewhere := arn.split(":")[3]) != region:
        text = f"it is in {elsewhere}, the task in {region}: `publish` does not reach it from here"
        return warn("topic", text, f"ask from a task in {elsewhere}, or look at SSE_TOPIC_ARN")
    return None


def judge_topic(arn: str, answer: Answer) -> Finding:
    """From sns:GetTopicAttributes."""
    if isinstance(answer, Fault):
        if answer.do:
            return fail("topic", f"SNS cannot be asked ({answer.code})", answer.do)
        if answer.absent:
            return fail("topic", f"there is none by SSE_TOPIC_ARN ({answer.code})", "look at its name and account")
        if answer.denied:
            do = "allow the task's role sns:GetTopicAttributes on it, or look yourself"
            return warn("topic", f"it could not be looked at ({answer.code})", do)
        if answer.unreachable:
            do = "give the subnet a NAT or a VPC endpoint for sns: `publish` and this command need it, `serve` does not"
            return fail("topic", f"SNS does not answer ({answer.code})", do)
        return fail("topic", f"SNS refuses to say anything about it ({answer.code})", "look at SSE_TOPIC_ARN")
    if answer.get("Attributes", {}).get("FifoTopic") == "true":
        do = "use a standard topic: `publish` and the canary send without a MessageGroupId"
        return warn("topic", f"{arn} is a FIFO topic", do)
    return ok("topic", arn)
