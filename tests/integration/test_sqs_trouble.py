"""How the consumer reports trouble with its queue, in the log and to ``/readyz``."""

from __future__ import annotations

import logging
from collections import deque

import pytest

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
