"""A sound deployment, and `doctor` on it."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator

import pytest

from sse_service import cli
from sse_service.dev.moto_server import MotoServer
from tests.integration.chain import SECRET
from tests.integration.doctor.deployment import OTHER, Deployment, Output, policy
from tests.integration.process import Process


@pytest.fixture(scope="package")
def sound() -> Iterator[Deployment]:
    server = MotoServer()
    try:
        made = Deployment(aws=server.url, url="", topic="", queue="", queue_arn="", subscription="")
        sqs, sns = made.client("sqs"), made.client("sns")
        sqs.create_queue(QueueName="dead")
        topic = sns.create_topic(Name="events")["TopicArn"]
        arn = topic.replace(":sns:", ":sqs:")
        dead = {"deadLetterTargetArn": arn.replace(":events", ":dead"), "maxReceiveCount": 5}
        attributes = {"RedrivePolicy": json.dumps(dead), "Policy": policy(topic, arn)}
        queue = sqs.create_queue(QueueName="events", Attributes=attributes)["QueueUrl"]
        subscription = sns.subscribe(TopicArn=topic, Protocol="sqs", Endpoint=arn)["SubscriptionArn"]
        env = {**Deployment(server.url, "", topic, queue, arn, subscription).environment, "SSE_ADMIN_PORT": "0"}
        env |= {"SSE_DRAIN_SECONDS": "0"}
        with Process("sse_service", "serve", "--port", "0", env=env) as process:
            url = process.wait_for(r"listening on (http://[^\s,]+)")[1]
            yield Deployment(server.url, url, topic, queue, arn, subscription)
    finally:
        server.stop()


@pytest.fixture
def doctor(
    sound: Deployment, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[..., Output]:
    """Run the command with changed variables. It runs in this process, which is faster than a new one."""

    def run(*arguments: str, **changed: str | None) -> Output:
        for name in [name for name in os.environ if name.startswith(("SSE_", "AWS_"))]:
            monkeypatch.delenv(name)
        for name, value in {**sound.environment, **changed}.items():
            if value is not None:
                monkeypatch.setenv(name, value)
        status = cli.main(["doctor", *(arguments or ("--url", sound.url))])
        text = capsys.readouterr().out
        assert SECRET not in text
        assert OTHER not in text
        assert "eyJ" not in text
        return Output(status, text)

    return run
