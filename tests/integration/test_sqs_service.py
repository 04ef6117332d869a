"""What an operator sees about the queue: ``/readyz``, the metric of the fast path, and the log."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

from tests.integration.chain import AWS, SECRET, Chain, serve, service
from tests.integration.process import DEADLINE


@contextmanager
def unready(queue: str) -> Iterator[Chain]:
    """Run ``sse-service serve`` on a queue that does not exist."""
    env = {
        **AWS,
        "AWS_ENDPOINT_URL": queue,
        "SSE_QUEUE_URL": f"{queue}/123456789012/absent",
        "SSE_JWT_SECRET": SECRET,
        "SSE_SINGLE_TASK": "true",
        "SSE_DRAIN_SECONDS": "0",
        "SSE_ADMIN_PORT": "0",
        "SSE_LOG_FORMAT": "text",
    }
    with serve(queue, env) as chain:
        yield chain


def test_readyz_says_that_the_queue_does_not_exist_and_the_log_says_so_once(queue: str) -> None:
    failures = 'sse_sqs_failures_total{code="QueueDoesNotExist",operation="attributes"}'
    with unready(queue) as task:
        until = time.monotonic() + DEADLINE
        while task.metric(failures) < 3:
            assert time.monotonic() < until, task.process.output
        answer = task.get("/readyz")
        log = task.process.output
    assert answer.status_code == 503
    assert answer.json()["dependencies"]["consumer"] == (
        "unavailable: the queue does not exist, or the role may not see it (SSE_QUEUE_URL)"
    )
    assert "123456789012" not in answer.text
    assert log.count("QueueDoesNotExist") == 1
    assert "SSE_QUEUE_URL" in next(line for line in log.splitlines() if "QueueDoesNotExist" in line)


def test_the_metric_and_the_log_say_that_the_fast_path_is_in_use(queue: str) -> None:
    with service(queue) as task:
        task.wait_for_metric("sse_sqs_fast_path", 1)
        assert task.process.output.count("the fast SQS path is in use") == 1


def test_the_metric_and_the_log_say_that_the_setting_turned_the_fast_path_off(queue: str) -> None:
    with service(queue, sqs_fast_path="false") as task:
        task.put("x", user_id="42")
        task.wait_for_metric("sse_sqs_messages_deleted_total", 1)
        assert task.metric("sse_sqs_fast_path") == 0
        assert task.process.output.count("the fast SQS path is not in use: turned off by the setting") == 1
