"""``credentials``: the identity that this task has in AWS."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sse_service.doctor.aws_calls import Fault
from sse_service.doctor.report import Finding, fail, ok, warn

if TYPE_CHECKING:
    from sse_service.doctor.aws_calls import Answer


def check_credentials(answer: Answer) -> Finding:
    """Check the answer to sts:GetCallerIdentity, which needs no permission."""
    if not isinstance(answer, Fault):
        return ok("credentials", str(answer.get("Arn")))
    if answer.fix:
        return fail("credentials", f"STS cannot be asked ({answer.code})", answer.fix)
    if answer.code == "NoCredentialsError":
        return fail("credentials", "there are none", "give the task definition a taskRoleArn")
    if answer.credentials:
        fix = (
            "remove AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY and AWS_SESSION_TOKEN from the task so that it uses its "
            "role; check the clock"
        )
        return fail("credentials", f"AWS refuses them ({answer.code})", fix)
    if answer.unreachable:
        fix = "no action if the queue answers below; otherwise give the subnet a NAT gateway or VPC endpoints"
        return warn("credentials", f"STS does not answer ({answer.code}): the identity is unknown", fix)
    return fail("credentials", f"STS refuses the call ({answer.code})", "check the role's trust policy")
