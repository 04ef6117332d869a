"""Runs all checks in the order of their dependencies."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from botocore.exceptions import BotoCoreError

from sse_service import aws
from sse_service.doctor.alb import check_alb
from sse_service.doctor.authorizer import check_authorizer
from sse_service.doctor.aws_calls import Calls, Fault
from sse_service.doctor.canary import WAIT_SECONDS, check_canary, new_canary
from sse_service.doctor.clock import check_clock
from sse_service.doctor.credentials import check_credentials
from sse_service.doctor.environment import check_descriptors, check_region, check_settings
from sse_service.doctor.key import check_key, customer_key
from sse_service.doctor.policy import check_policy
from sse_service.doctor.provider import check_providers
from sse_service.doctor.queue import check_queue
from sse_service.doctor.redrive import check_redrive, read_redrive_policy
from sse_service.doctor.report import Level, Report, fail, skip
from sse_service.doctor.store import check_store
from sse_service.doctor.subscription import check_subscription, drops, find_subscription, not_checked
from sse_service.doctor.timeouts import check_timeouts
from sse_service.doctor.topic import check_topic, check_topic_arn
from sse_service.http import descriptors

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from sse_service.doctor.aws_calls import Answer
    from sse_service.doctor.canary import Canary
    from sse_service.settings.settings import Settings

_ON_AWS = ("queue", "redrive", "topic", "subscription", "policy", "key")
_TOPIC_FAILED = "the topic failed"


async def run_checks(
    settings: Settings,
    *,
    url: str,
    refused: str | None,
    write: Callable[[str], None],
    wait_seconds: float = WAIT_SECONDS,
) -> bool:
    """Run all checks, write a line for each finding, and return whether no check failed.

    ``refused`` is the reason why `serve` would not start, or None if it would.
    """
    report, canary = Report(write), new_canary()
    report.add(check_settings(settings, refused))
    region, problem = _find_region()
    report.add(check_region(region, problem))
    blocked = await _check_aws(settings, region, report, canary)
    report.add(*await check_store(settings))
    report.add(check_descriptors(descriptors.raise_limit(), settings.max_streams))
    report.add(*await check_providers(settings))
    report.add(*await check_alb(settings, region))
    report.add(*await check_authorizer(settings))
    if blocked is not None:
        report.add(skip("canary", blocked))
    else:
        suspects = report.checks_at(Level.FAIL, Level.WARN)
        report.add(await check_canary(settings, canary, url=url, suspects=suspects, wait_seconds=wait_seconds))
    return not report.failed


def _find_region() -> tuple[str | None, str | None]:
    """Return the region, and why the AWS profile cannot be read."""
    try:
        return aws.region(), None
    except BotoCoreError as error:
        return None, str(error)


async def _check_aws(settings: Settings, region: str | None, report: Report, canary: Canary) -> str | None:
    """Check everything on AWS. Return why no canary can arrive, or None if one can."""
    if region is None:
        why = "no region is set"
        report.skip(("credentials", "clock", *_ON_AWS), why)
        report.add(*check_timeouts(settings, None, None, None))
        return why
    async with Calls(region) as calls:
        return await _Deployment(settings, region=region, calls=calls, report=report, canary=canary).check()


class _Deployment:
    """Checks the AWS resources between a producer and this task."""

    def __init__(self, settings: Settings, *, region: str, calls: Calls, report: Report, canary: Canary) -> None:
        self._settings = settings
        self._region = region
        self._calls = calls
        self._report = report
        self._canary = canary

    async def check(self) -> str | None:
        """Report all findings. Return why no canary can arrive, or None if one can."""
        identity = await self._calls.ask("sts", "get_caller_identity")
        self._report.add(check_credentials(identity))
        no_credentials = isinstance(identity, Fault) and identity.credentials
        # If STS sent no date, the queue's answer has one.
        clock_reported = no_credentials or self._calls.skew is not None
        if clock_reported:
            self._report.add(check_clock(self._calls.skew))
        if no_credentials:
            self._report.skip(_ON_AWS, "there are no credentials")
            self._report.add(*check_timeouts(self._settings, None, None, None))
            return "there are no credentials to publish with"
        queue = await self._check_queue()
        if not clock_reported:
            self._report.add(check_clock(self._calls.skew))
        await self._check_redrive_and_timeouts(queue)
        blocked = await self._check_topic(queue)
        await self._check_key(queue, None if blocked == _TOPIC_FAILED else self._settings.topic_arn)
        return "the queue failed" if queue is None else blocked

    async def _check_queue(self) -> Mapping[str, str] | None:
        """Return the queue's attributes, or None if the queue cannot be used."""
        if not self._settings.queue_url:
            self._report.add(fail("queue", "SSE_QUEUE_URL is not set", "set it to the URL of the queue to be read"))
            return None
        answer = await self._queue_attributes(self._settings.queue_url)
        findings = check_queue(self._settings.queue_url, self._region, answer)
        self._report.add(*findings)
        if isinstance(answer, Fault) or any(each.level is Level.FAIL for each in findings):
            return None
        return dict(answer["Attributes"])

    async def _queue_attributes(self, url: str) -> Answer:
        return await self._calls.ask("sqs", "get_queue_attributes", QueueUrl=url, AttributeNames=["All"])

    async def _check_redrive_and_timeouts(self, queue: Mapping[str, str] | None) -> None:
        if queue is None:
            self._report.add(skip("redrive", "the queue failed"), *check_timeouts(self._settings, None, None, None))
            return
        redrive, dlq = read_redrive_policy(queue), None
        if redrive is not None:
            owner = {"QueueOwnerAWSAccountId": redrive.account} if redrive.account else {}
            dlq = await self._calls.ask("sqs", "get_queue_url", QueueName=redrive.name, **owner)
            if not isinstance(dlq, Fault):
                dlq = await self._queue_attributes(dlq["QueueUrl"])
        self._report.add(*check_redrive(redrive, queue["QueueArn"], dlq))
        attributes = None if dlq is None or isinstance(dlq, Fault) else dlq.get("Attributes", {})
        self._report.add(*check_timeouts(self._settings, queue, redrive, attributes))

    async def _check_topic(self, queue: Mapping[str, str] | None) -> str | None:
        """Return why no published message reaches the queue, or None if one can."""
        arn = self._settings.topic_arn
        if finding := check_topic_arn(arn, self._region):
            self._report.add(finding)
            return self._skip_path("the topic is not known")
        finding = check_topic(arn, await self._calls.ask("sns", "get_topic_attributes", TopicArn=arn))
        self._report.add(finding)
        if finding.level is Level.FAIL:
            return self._skip_path(_TOPIC_FAILED)
        if queue is None:
            return self._skip_path("the queue failed")
        blocked = await self._check_subscription(arn, queue["QueueArn"])
        self._report.add(*check_policy(queue.get("Policy"), queue["QueueArn"], arn))
        return blocked

    def _skip_path(self, why: str) -> str:
        self._report.skip(("subscription", "policy"), why)
        return why

    async def _check_subscription(self, topic_arn: str, queue_arn: str) -> str | None:
        """Return why the subscription delivers no canary, or None if it can."""
        subscriptions = await self._subscriptions(topic_arn)
        if isinstance(subscriptions, Fault):
            self._report.add(not_checked(subscriptions))
            return None
        arn, answer = find_subscription(subscriptions, queue_arn), None
        if arn is not None and arn.startswith("arn:"):
            answer = await self._calls.ask("sns", "get_subscription_attributes", SubscriptionArn=arn)
        attributes, body = self._canary.attributes, self._canary.body
        findings = check_subscription(arn, answer, attributes, body)
        self._report.add(*findings)
        if any(each.level is Level.FAIL for each in findings):
            return "the subscription failed"
        return "the subscription's filter policy drops it" if drops(answer, attributes, body) else None

    async def _subscriptions(self, topic_arn: str) -> list[Mapping[str, Any]] | Fault:
        found: list[Mapping[str, Any]] = []
        page: dict[str, str] = {}
        while True:
            answer = await self._calls.ask("sns", "list_subscriptions_by_topic", TopicArn=topic_arn, **page)
            if isinstance(answer, Fault):
                return answer
            found += answer.get("Subscriptions", [])
            if not answer.get("NextToken"):
                return found
            page = {"NextToken": answer["NextToken"]}

    async def _check_key(self, queue: Mapping[str, str] | None, topic_arn: str | None) -> None:
        if queue is None:
            self._report.add(skip("key", "the queue failed"))
            return
        described, policy = None, None
        if name := customer_key(queue):
            described = await self._calls.ask("kms", "describe_key", KeyId=name)
            if not isinstance(described, Fault):
                key_id = described["KeyMetadata"]["KeyId"]
                policy = await self._calls.ask("kms", "get_key_policy", KeyId=key_id, PolicyName="default")
        self._report.add(check_key(queue, described, policy, topic_arn))
