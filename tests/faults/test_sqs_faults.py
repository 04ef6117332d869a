"""The consumer during faults of SQS, of the network and of its own helper tasks."""

from __future__ import annotations

import asyncio
from collections import deque
from typing import Any

import pytest

from consumers.base import Outcome
from tests.integration.process import DEADLINE
from tests.integration.sqs_stub import Answer, LostReply
from tests.integration.test_sqs import DENIED, EXPIRED, THROTTLED, Counts, Queue, Recorder, run


def test_redelivered_messages_are_handled_and_deleted_again_in_their_new_order() -> None:
    async def test() -> None:
        queue = Queue(Recorder(*[Outcome.NOT_UNDERSTOOD] * 3))
        for name in "abc":
            queue.stub.send(name)
        async with queue.consuming():
            await queue.handler.until(lambda: len(queue.handler.seen) == 3)
            await queue.stub.redeliver()
            await queue.stub.until(lambda: len(queue.stub.deleted) == 3)
        assert queue.handler.seen == ["a", "b", "c", "c", "b", "a"]
        assert queue.stub.deleted == ["r-c+", "r-b+", "r-a+"]

    run(test)


def test_a_partly_failed_batch_is_retried_only_for_the_failed_entries() -> None:
    async def test() -> None:
        queue = Queue()
        for name in "abc":
            queue.stub.send(name)
        partly = {
            "Successful": [{"Id": "0"}],
            "Failed": [
                {"Id": "1", "SenderFault": False, "Code": "InternalError"},
                {"Id": "2", "SenderFault": True, "Code": "ReceiptHandleIsInvalid"},
            ],
        }
        queue.stub.faults["DeleteMessageBatch"] = deque([Answer(200, partly)])
        async with queue.consuming():
            await queue.stub.until(lambda: queue.stub.deleted == ["r-b"])
        assert queue.counts.gone == 2
        assert queue.counts.failures == [("delete", "ReceiptHandleIsInvalid"), ("delete", "InternalError")]

    run(test)


@pytest.mark.parametrize("body", [[1], {"__type": 7}, b"<html>no</html>", b"", b"\xff"])
def test_errors_that_sqs_does_not_send_are_retried(body: Any) -> None:
    async def test() -> None:
        queue = Queue()
        queue.stub.faults["ReceiveMessage"] = deque([Answer(status, body) for status in (400, 403, 502)])
        queue.stub.send("a")
        async with queue.consuming():
            await queue.stub.until(lambda: queue.stub.deleted == ["r-a"])
        assert len(queue.counts.failures) == 3

    run(test)


def test_polls_whose_credentials_expire_together_share_one_new_client() -> None:
    async def test() -> None:
        queue = Queue()
        for n in range(20):
            queue.stub.send(str(n))
        async with queue.consuming(pollers=3, wait_seconds=20):
            await queue.stub.until(lambda: queue.stub.polls == 3 and len(queue.stub.deleted) == 20)
            queue.stub.faults["ReceiveMessage"] = deque([EXPIRED] * 3)
            for n in range(30):
                queue.stub.send(f"again-{n}")
            await queue.stub.notify()
            await queue.stub.until(lambda: len(queue.stub.deleted) == 50)
            assert not queue.stub.faults["ReceiveMessage"]
            assert queue.connections <= 3

    run(test)


def test_an_exception_in_a_helper_task_ends_the_consumer() -> None:
    class Broken(Counts):
        def deleted(self, messages: int, /) -> None:
            raise LookupError("a bug in the deleter")

    async def test() -> None:
        queue = Queue()
        queue.counts = Broken()
        for n in range(21):
            queue.stub.send(str(n))
        await queue.up()
        try:
            with pytest.raises(LookupError, match="in the deleter"):
                async with asyncio.timeout(DEADLINE):
                    await queue.consumer(pollers=3).run()
        finally:
            await queue.stub.end_polls()
            await queue.down()

    run(test)


def test_a_stop_flushes_pending_deletes() -> None:
    async def test() -> None:
        queue = Queue()
        queue.stub.send("a")
        async with queue.consuming(flush_seconds=3600):
            await queue.handler.until(lambda: queue.handler.seen == ["a"])
            assert queue.stub.deleted == []
        assert queue.stub.deleted == ["r-a"]

    run(test)


@pytest.mark.filterwarnings("error")
def test_cancelling_during_polls_leaves_nothing_open() -> None:
    async def test() -> None:
        queue = Queue()
        for n in range(20):
            queue.stub.send(str(n))
        await queue.up()
        task = asyncio.create_task(queue.consumer(wait_seconds=20, pollers=3).run())
        await queue.stub.until(lambda: queue.stub.polls == 3)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await queue.stub.end_polls()
        await queue.down()
        assert asyncio.all_tasks() == {asyncio.current_task()}

    run(test)


def test_throttling_server_errors_and_partial_failures_lose_nothing() -> None:
    async def test() -> None:
        queue = Queue()
        failed = [{"Id": "0", "SenderFault": False, "Code": "InternalError"}]
        queue.stub.faults["GetQueueAttributes"] = deque([DENIED])
        queue.stub.faults["ReceiveMessage"] = deque([THROTTLED, Answer(500, {}), Answer(503, {})])
        queue.stub.faults["DeleteMessageBatch"] = deque([Answer(500, {}), Answer(200, {"Failed": failed})])
        queue.stub.send("a")
        async with queue.consuming():
            await queue.stub.until(lambda: queue.stub.deleted == ["r-a"])
        assert queue.handler.seen == ["a"]
        assert ("attributes", "AccessDeniedException") in queue.counts.failures
        assert ("receive", "RequestThrottled") in queue.counts.failures
        assert ("delete", "InternalError") in queue.counts.failures
        assert queue.counts.gone == 1

    run(test)


def test_a_refused_receipt_handle_is_given_up() -> None:
    async def test() -> None:
        queue = Queue()
        failed = [{"Id": "0", "SenderFault": True, "Code": "ReceiptHandleIsInvalid"}]
        queue.stub.faults["DeleteMessageBatch"] = deque([Answer(200, {"Failed": failed})])
        queue.stub.send("a")
        async with queue.consuming():
            await queue.stub.until(lambda: not queue.stub.faults["DeleteMessageBatch"])
        assert queue.stub.deleted == []
        assert queue.counts.gone == 0

    run(test)


def test_a_delete_whose_response_is_lost_is_sent_again() -> None:
    async def test() -> None:
        queue = Queue()
        queue.stub.faults["DeleteMessageBatch"] = deque([LostReply()])
        queue.stub.send("a")
        async with queue.consuming():
            await queue.stub.until(lambda: queue.stub.deleted == ["r-a", "r-a"])
        assert queue.handler.seen == ["a"]

    run(test)


def test_the_consumer_waits_for_an_endpoint_that_is_unreachable_at_start() -> None:
    async def test() -> None:
        queue = Queue()
        queue.stub.send("a")
        async with queue.consuming(down=True) as consumer:
            await queue.counts.until(lambda: len(queue.counts.failures) > 2)
            assert consumer.trouble == "the SQS endpoint cannot be reached"
            await queue.up()
            await queue.stub.until(lambda: queue.stub.deleted == ["r-a"])
            assert consumer.trouble is None

    run(test)


def test_the_consumer_reads_on_after_an_outage_of_the_endpoint() -> None:
    async def test() -> None:
        queue = Queue()
        async with queue.consuming() as consumer:
            await queue.stub.until(lambda: len(queue.stub.keys) > 1)
            await queue.down()
            await queue.counts.until(lambda: bool(queue.counts.failures))
            assert consumer.trouble == "the SQS endpoint cannot be reached"
            queue.stub.send("a")
            await queue.up()
            await queue.stub.until(lambda: queue.stub.deleted == ["r-a"])
            assert consumer.trouble is None

    run(test)


def test_expired_credentials_are_looked_up_again_by_a_new_client() -> None:
    async def test() -> None:
        queue = Queue()
        queue.stub.faults["ReceiveMessage"] = deque([EXPIRED])
        queue.stub.faults["DeleteMessageBatch"] = deque([EXPIRED])
        queue.stub.send("a")
        async with queue.consuming():
            await queue.stub.until(lambda: queue.stub.deleted == ["r-a"])
        assert queue.stub.keys[0] == "key1"
        assert queue.stub.keys[-1] == "key3"
        assert queue.connections == 3

    run(test)


@pytest.mark.parametrize(
    "answer",
    [
        Answer(200, b"<html>Bad gateway</html>", "text/html"),
        Answer(200, b"[]"),
        Answer(200, b"\xff\xfe"),
        Answer(200, {"Messages": "x"}),
        Answer(200, {"Messages": [1]}),
        Answer(200, {"Messages": [{"MessageId": "m"}]}),
        Answer(200, {"Messages": [{"MessageId": 1, "ReceiptHandle": 2, "Body": 3}]}),
        Answer(200, {"Messages": {"a": 1}}),
    ],
)
def test_after_a_malformed_answer_the_next_receive_works(answer: Answer) -> None:
    async def test() -> None:
        queue = Queue()
        queue.stub.faults["GetQueueAttributes"] = deque([Answer(200, {"Attributes": {"VisibilityTimeout": "x"}})])
        # The second one, because the first receive does not wait and is always answered at once.
        queue.stub.faults["ReceiveMessage"] = deque([Answer(200, {}), answer])
        async with queue.consuming(wait_seconds=2):
            await queue.stub.until(lambda: not queue.stub.faults["ReceiveMessage"])
            queue.stub.send("a")
            await queue.stub.until(lambda: queue.stub.deleted == ["r-a"])
        assert [operation for operation, _ in queue.counts.failures] == ["attributes", "receive"]
        assert queue.handler.seen == ["a"]

    run(test)


def test_a_malformed_message_does_not_lose_its_neighbours() -> None:
    async def test() -> None:
        queue = Queue()
        good = {"MessageId": "m", "ReceiptHandle": "r-m", "Body": "x"}
        queue.stub.faults["ReceiveMessage"] = deque([Answer(200, {"Messages": [{"MessageId": "broken"}, good]})])
        async with queue.consuming():
            await queue.stub.until(lambda: queue.stub.deleted == ["r-m"])
        assert queue.handler.seen == ["m"]

    run(test)
