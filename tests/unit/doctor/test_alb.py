"""The load balancer's ARN, and the endpoint of its keys."""

from __future__ import annotations

from sse_service.doctor.alb import check_endpoint
from sse_service.doctor.report import Level

ARN = "arn:aws:elasticloadbalancing:eu-west-1:123456789012:loadbalancer/app/push/0123456789abcdef"
URL = "https://public-keys.auth.elb.eu-west-1.amazonaws.com/"


def test_an_endpoint_that_answers_is_ok() -> None:
    for region in ("eu-west-1", None):
        [found] = check_endpoint(ARN, region, url=URL, problem=None)
        assert found.level is Level.OK
        assert URL in found.text


def test_a_load_balancer_in_another_region_is_a_warning() -> None:
    warned, answered = check_endpoint(ARN, "eu-central-1", url=URL, problem=None)
    assert (warned.level, answered.level) == (Level.WARN, Level.OK)
    assert "SSE_ALB_ARN is in eu-west-1, the task in eu-central-1" in warned.text


def test_an_endpoint_that_cannot_be_reached_fails() -> None:
    [found] = check_endpoint(ARN, "eu-west-1", url=URL, problem="it cannot be reached")
    assert found.level is Level.FAIL
    assert "it cannot be reached" in found.text
    assert "NAT gateway" in found.fix
