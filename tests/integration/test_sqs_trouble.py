"""How the consumer reports trouble with its queue, in the log and to ``/readyz``."""

from __future__ import annotations

import logging
from collections import deque
from pathlib import Path

import pytest

from sse_service.aws import connect_sqs
from tests.integration.not_aws import PAGES, not_aws
from tests.integration.sqs_stub import ABSENT, Answer
from tests.integration.test_sqs import DENIED, EXPIRED, THROTTLED, Queue, run


def test_a_queue_that_does_not_exist_is_reported_as_trouble_and_logged_once(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "consumers")

    async def test() -> None:
        queue = Queue()
        queue.stub.faults["GetQueueAttributes"] = deque([ABSENT] * 5)
        async with queue.consuming(queue_setting="SSE_QUEUE_URL") as consumer:
            assert consumer.trouble == "the queue has not been read yet"
            await queue.counts.until(lambda: len(queue.counts.failures) > 2)
            assert consumer.trouble == "the queue does not exist, or the role may not see it (SSE_QUEUE_URL)"
            queue.stub.send("a")
            await queue.stub.until(lambda: queue.stub.deleted == ["r-a"])
            assert consumer.trouble is None
        assert queue.counts.failures == [("attributes", "QueueDoesNotExist")] * 5

    run(test)
    assert [r.getMessage() for r in caplog.records if r.name == "consumers.sqs.shared_client"] == [
        "SQS attributes call failed (QueueDoesNotExist): the queue does not exist, or the role may not see it "
        "(SSE_QUEUE_URL); check the account, the region and the name in the URL",
        "SQS attributes calls work again after 5 failures",
    ]


@pytest.mark.parametrize(
    ("fault", "trouble"),
    [
        (DENIED, "the role may not use the queue"),
        (ABSENT, "the queue does not exist, or the role may not see it (SSE_QUEUE_URL)"),
        (THROTTLED, "SQS throttles the calls"),
        (EXPIRED, "the AWS credentials have expired"),
        (Answer(200, b"<html>", "text/html"), "something other than SQS answers the calls"),
        (Answer(418, {"__type": "arn:aws:sqs:eu-west-1:123456789012:events"}), "SQS refuses the calls; the log has"),
    ],
)
def test_trouble_describes_the_failure_of_the_last_receive(fault: Answer, trouble: str) -> None:
    async def test() -> None:
        queue = Queue()
        queue.stub.faults["ReceiveMessage"] = deque([Answer(200, {}), *[fault] * 1000])
        async with queue.consuming(queue_setting="SSE_QUEUE_URL") as consumer:
            await queue.counts.until(lambda: len(queue.counts.failures) > 1)
            assert consumer.trouble is not None
            assert consumer.trouble.startswith(trouble)
            assert "123456789012" not in consumer.trouble
            queue.stub.faults.clear()
            queue.stub.send("a")
            await queue.stub.until(lambda: queue.stub.deleted == ["r-a"])
            assert consumer.trouble is None

    run(test)


@pytest.mark.parametrize("kind", ["python -m http.server", "sign-in page", "sign-in page that is XML"])
def test_credentials_that_something_other_than_aws_answers_are_trouble_and_not_the_end(
    kind: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """On Kubernetes a task gets its credentials from STS, for a token in a file."""
    token = tmp_path / "token"
    token.write_text("token")
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    for name in ("AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE"):
        monkeypatch.setenv(name, str(tmp_path / "none"))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_REGION", "us-east-1")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    monkeypatch.setenv("AWS_ROLE_ARN", "arn:aws:iam::123456789012:role/push")
    monkeypatch.setenv("AWS_WEB_IDENTITY_TOKEN_FILE", str(token))

    async def test() -> None:
        queue = Queue()
        async with queue.consuming() as consumer:
            await queue.counts.until(lambda: len(queue.counts.failures) > 1)
            assert consumer.trouble is not None

    with not_aws(PAGES[kind]) as url:
        monkeypatch.setenv("AWS_ENDPOINT_URL_STS", url)
        monkeypatch.setattr(Queue, "connect", lambda _: connect_sqs(pollers=1))
        run(test)
