"""Asks AWS about everything between a producer's publish and this task."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sse_service.doctor.calls import Answer, Calls, Fault
from sse_service.doctor.identity import judge_clock, judge_credentials
from sse_service.doctor.key import customer_key, judge_key
from sse_service.doctor.policy import judge_policy
from sse_service.doctor.queue import judge_queue
from sse_service.doctor.redrive import judge_redrive
from sse_service.doctor.redrive import read as read_redrive
from sse_service.doctor.report import Level, Report, fail, skip
from sse_service.doctor.subscription import drops, find, judge_listing, judge_subscription
from sse_service.doctor.timeouts import judge_timeouts
from sse_service.doctor.topic import judge_topic, judge_topic_arn

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sse_service.doctor.canary import Canary
    from sse_service.settings.settings import Settings

_OF_AWS = ("queue", "redrive", "topic", "subscription", "policy", "key")
_TOPIC_FAILED = "the topic failed"


def skip_all(settings: Settings, report: Report, why: str) -> None:
    """Say of every check here that it was not made."""
    report.add(skip(check, why) for check in _OF_AWS)
    report.add(judge_timeouts(settings, None, None, None))


class Deployment:
    """Walks from the task's identity by its queue to the topic."""

    def __init__(self, settings: Settings, *, region: str, calls: Calls, report: Report, canary: Canary) -> None:
        self._settings = settings
        self._region = region
        self._calls = calls
        self._report = report
        self._canary = canary

    async def look(self) -> str | None:
        """Report all of it; gives why no canary can arrive, None where one may."""
        identity = await self._calls.ask("sts", "get_caller_identity")
        self._report.add([judge_credentials(identity)])
        hopeless = isinstance(identity, Fault) and identity.credentials
        if told := hopeless or self._calls.skew is not None:
            self._report.add([judge_clock(self._calls.skew)])
        if hopeless:
            skip_all(self._settings, self._report, "there are no credentials for it")
            return "there are no credentials to publish with"
        queue = await self._queue()
        if not told:
            self._report.add([judge_clock(self._calls.skew)])
        await self._times(queue)
        stopped = await self._topic(queue)
        await self._key(queue, None if stopped == _TOPIC_FAILED else self._settings.topic_arn)
        return "the queue failed" if queue is None else stopped

    async def _queue(self) -> Mapping[str, str] | None:
        """Its attributes, where it can be used."""
        if not self._settings.queue_url:
            self._report.add([fail("queue", "SSE_QUEUE_URL is not set", "set it to the URL of the queue to be read")])
            return None
        answer = await self._attributes(self._settings.queue_url)
        findings = judge_queue(self._settings.queue_url, self._region, answer)
        self._report.add(findings)
        if isinstance(answer, Fault) or any(each.level is Level.FAIL for each in findings):
            return None
        return dict(answer["Attributes"])

    async def _attributes(self, url: str) -> Answer:
        return await self._calls.ask("sqs", "get_queue_attributes", QueueUrl=url, AttributeNames=["All"])

    async def _times(self, queue: Mapping[str, str] | None) -> None:
        if queue is None:
            self._report.add([skip("redrive", "the queue failed"), *judge_timeouts(self._settings, None, None, None)])
            return
        redrive, dead = read_redrive(queue), None
        if redrive is not None:
            owner = {"QueueOwnerAWSAccountId": redrive.account} if redrive.account else {}
            dead = await self._calls.ask("sqs", "get_queue_url", QueueName=redrive.name, **owner)
            if not isinstance(dead, Fault):
                dead = await self._attributes(dead["QueueUrl"])
        self._report.add(judge_redrive(redrive, queue["QueueArn"], dead))
        held = None if dead is None or isinstance(dead, Fault) else dead.get("Attributes", {})
        self._report.add(judge_timeouts(self._settings, queue, redrive, held))

    async def _topic(self, queue: Mapping[str, str] | None) -> str | None:
        """Why nothing that is published gets to the queue."""
        arn = self._settings.topic_arn
        if finding := judge_topic_arn(arn, self._region):
            self._report.add([finding])
            return self._skip_topic("the topic is not known")
        finding = judge_topic(arn, await self._calls.ask("sns", "get_topic_attributes", TopicArn=arn))
        self._report.add([finding])
        if finding.level is Level.FAIL:
            return self._skip_topic(_TOPIC_FAILED)
        if queue is None:
            return self._skip_topic("the queue failed")
        stopped = await self._subscription(arn, queue["QueueArn"])
        self._report.add(judge_policy(queue.get("Policy"), queue["QueueArn"], arn))
        return stopped

    def _skip_topic(self, why: str) -> str:
        self._report.add([skip("subscription", why), skip("policy", why)])
        return why

    async def _subscription(self, topic_arn: str, queue_arn: str) -> str | None:
        listed = await self._listed(topic_arn)
        if isinstance(listed, Fault):
            self._report.add([judge_listing(listed)])
            return None
        arn, answer = find(listed, queue_arn), None
        if arn is not None and arn.startswith("arn:"):
            answer = await self._calls.ask("sns", "get_subscription_attributes", SubscriptionArn=arn)
        attributes, body = self._canary.attributes, self._canary.body
        findings = judge_subscription(arn, answer, attributes, body)
        self._report.add(findings)
        if any(each.level is Level.FAIL for each in findings):
            return "the subscription failed"
        return "the subscription's filter policy drops it" if drops(answer, attributes, body) else None

    async def _listed(self, topic_arn: str) -> list[Mapping[str, Any]] | Fault:
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

    async def _key(self, queue: Mapping[str, str] | None, topic_arn: str | None) -> None:
        if queue is None:
            self._report.add([skip("key", "the queue failed")])
            return
        described, policy = None, None
        if name := customer_key(queue):
            described = await self._calls.ask("kms", "describe_key", KeyId=name)
            if not isinstance(described, Fault):
                key_id = described["KeyMetadata"]["KeyId"]
                policy = await self._calls.ask("kms", "get_key_policy", KeyId=key_id, PolicyName="default")
        self._report.add([judge_key(queue, described, policy, topic_arn)])
