"""``alb``: the load balancer that signs users in, and the endpoint of its public keys."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sse_service.auth.alb import keys as alb_keys
from sse_service.auth.outbound.fetch import FetchError
from sse_service.doctor.report import Finding, fail, ok, warn

if TYPE_CHECKING:
    from sse_service.settings.settings import Settings

_NO_KEY = "00000000-0000-0000-0000-000000000000"
"""The endpoint lists no keys. Its answer to any id shows that it can be reached."""


async def check_alb(settings: Settings, region: str | None) -> list[Finding]:
    """Check ``SSE_ALB_ARN``, if it is set, and ask the endpoint of its region's keys."""
    if settings.alb_arn is None:
        return []
    url = alb_keys.keys_url(settings.alb_arn)
    problem = None
    try:
        await alb_keys.fetch_pem(url + _NO_KEY)
    except FetchError as error:
        problem = None if error.status is not None else error.cause
    return check_endpoint(settings.alb_arn, region, url=url, problem=problem)


def check_endpoint(arn: str, region: str | None, *, url: str, problem: str | None) -> list[Finding]:
    """Check the region of the ARN. ``problem`` is why the endpoint sent no HTTP answer; None if it sent one."""
    found = []
    if region is not None and (elsewhere := arn.split(":")[3]) != region:
        text = f"SSE_ALB_ARN is in {elsewhere}, the task in {region}"
        found.append(warn("alb", text, "check the ARN: a load balancer has its targets in its own region"))
    if problem is not None:
        fix = "give the subnet a NAT gateway, or set HTTPS_PROXY"
        return [*found, fail("alb", f"the endpoint of its keys, {url}, does not answer ({problem})", fix)]
    return [*found, ok("alb", f"the endpoint of its keys, {url}, answers")]
