"""Who this task is to AWS, where, and whether its clock is right."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sse_service.doctor.calls import Fault
from sse_service.doctor.report import Finding, fail, ok, skip, warn

if TYPE_CHECKING:
    from sse_service.doctor.calls import Answer

WARN_SKEW_SECONDS = 5
"""Times of events and tokens' ends are off by as much."""

MAX_SKEW_SECONDS = 300
"""AWS refuses a signature that is further off (some of its services take 15 minutes)."""


def judge_region(region: str | None, problem: str | None) -> Finding:
    """``problem`` is why the profile could not be read."""
    if problem is not None:
        return fail("region", f"AWS_PROFILE: {problem}", "unset it in a task: its role needs no profile")
    if region is None:
        return fail("region", "none is set", "set AWS_REGION (ECS on Fargate does it)")
    return ok("region", region)


def judge_credentials(answer: Answer) -> Finding:
    """From sts:GetCallerIdentity, which needs no permission."""
    if not isinstance(answer, Fault):
        return ok("credentials", str(answer.get("Arn")))
    if answer.do:
        return fail("credentials", f"nobody can be asked whose they are ({answer.code})", answer.do)
    if answer.code == "NoCredentialsError":
        return fail("credentials", "there are none", "give the task definition a taskRoleArn")
    if answer.credentials:
        return fail(
            "credentials",
            f"AWS refuses them ({answer.code})",
            "remove AWS_ACCESS_KEY_ID and its companions from the task, so that its role is used; look at the clock",
        )
    if answer.unreachable:
        return warn(
            "credentials",
            f"STS does not answer ({answer.code}), so whose they are is not known",
            "nothing, where the queue answers below; else give the subnet a NAT or VPC endpoints",
        )
    return fail("credentials", f"STS refuses to say whose they are ({answer.code})", "look at the role's trust policy")


def judge_clock(skew: float | None) -> Finding:
    """``skew`` is by how many seconds the local clock is ahead of AWS's."""
    if skew is None:
        return skip("clock", "AWS did not answer with a date")
    text = f"{abs(skew):.0f} s {'ahead of' if skew > 0 else 'behind'} AWS's"
    if abs(skew) > MAX_SKEW_SECONDS:
        return fail("clock", f"{text}, which refuses signatures past {MAX_SKEW_SECONDS} s", "set it by NTP")
    if abs(skew) > WARN_SKEW_SECONDS:
        return warn("clock", f"{text}: tokens end, and events are dated, so much off", "set it by NTP")
    return ok("clock", f"within {max(abs(skew), 1):.0f} s of AWS's")
