"""The emulator, the topic's fan-out and the demo's file processing, used with AWS's own clients."""

import asyncio
import json
import sys
import threading
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Any

import pytest

from consumers.base import Outcome
from consumers.envelope import Envelope, unwrap
from sse_service.dev.emulator import MISSING, Emulator, emulator
from sse_service.dev.jobs import Jobs, State
from sse_service.dev.processor import Processor
from tests.integration.process import DEADLINE

Test = Callable[[Emulator], Awaitable[None]]


def run(test: Test) -> None:
    async def inside() -> None:
        async with asyncio.timeout(DEADLINE), emulator() as running:
            await test(running)

    asyncio.run(inside())


async def received(sqs: Any, queue_url: str, count: int) -> list[Envelope]:
    """Receive and delete ``count`` messages."""
    found: list[Envelope] = []
    while len(found) < count:
        answer = await sqs.receive_message(QueueUrl=queue_url, MaxNumberOfMessages=10, WaitTimeSeconds=5)
        for message in answer.get("Messages", []):
            found.append(unwrap(message_id=message["MessageId"], body=message["Body"]))
            await sqs.delete_message(QueueUrl=queue_url, ReceiptHandle=message["ReceiptHandle"])
    return found


def test_a_published_message_arrives_in_the_queue_in_an_sns_envelope() -> None:
    async def test(aws: Emulator) -> None:
        async with aws.client("sns") as sns, aws.client("sqs") as sqs:
            attributes = {"user_id": {"DataType": "String", "StringValue": "Zoë"}}
            sent = await sns.publish(TopicArn=aws.topic_arn, Message='{"a":1}', MessageAttributes=attributes)
            [envelope] = await received(sqs, aws.queue_url, 1)
        assert envelope.event_id == sent["MessageId"]
        assert envelope.source == aws.topic_arn
        assert (envelope.text, envelope.attributes) == ('{"a":1}', {"user_id": "Zoë"})

    run(test)


def test_both_queues_have_a_redrive_policy() -> None:
    async def test(aws: Emulator) -> None:
        async with aws.client("sqs") as sqs:
            for url in (aws.queue_url, aws.uploads_queue_url):
                answer = await sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["RedrivePolicy"])
                assert json.loads(answer["Attributes"]["RedrivePolicy"])["maxReceiveCount"] == 5

    run(test)


def test_a_file_put_into_the_bucket_is_processed_and_each_step_published_in_order() -> None:
    async def test(aws: Emulator) -> None:
        jobs = Jobs()
        async with aws.client("sns") as sns, aws.client("sqs") as sqs, aws.client("s3") as s3:
            processor = Processor(s3=s3, sns=sns, topic_arn=aws.topic_arn, jobs=jobs, step_seconds=0)
            running = asyncio.create_task(processor.run())
            await s3.put_object(Bucket=aws.bucket, Key="users/Zoë & co/é +%.txt", Body=b"text")
            notices = await received(sqs, aws.uploads_queue_url, 2)
            assert await processor(notices) == [Outcome.DONE, Outcome.DONE]
            steps = await received(sqs, aws.queue_url, 7)
            running.cancel()
            await asyncio.wait([running])
        assert [step.attributes["event_type"].removeprefix("upload.") for step in steps] == [
            "waiting",
            *["processing"] * 5,
            "done",
        ]
        [job] = jobs.of("Zoë & co")
        assert (job.name, job.state) == ("é +%.txt", State.DONE)
        assert steps[-1].body == job.as_json()
        assert {step.attributes["user_id"] for step in steps} == {"Zoë & co"}

    run(test)


def test_a_port_in_use_is_an_error_immediately() -> None:
    async def test(aws: Emulator) -> None:
        port = int(aws.endpoint_url.rpartition(":")[2])
        with pytest.raises(OSError, match=str(port)):
            async with emulator(port=port):
                pass

    run(test)


def test_no_thread_is_left_running_even_after_a_cancelled_poll() -> None:
    async def test(aws: Emulator) -> None:
        async with aws.client("sqs") as sqs:
            poll = asyncio.create_task(sqs.receive_message(QueueUrl=aws.queue_url, WaitTimeSeconds=20))
            done, _ = await asyncio.wait([poll], timeout=0.2)
            assert not done
            poll.cancel()

    before = set(threading.enumerate())
    run(test)
    assert set(threading.enumerate()) == before


def test_the_next_emulator_starts_empty() -> None:
    async def publish(aws: Emulator) -> None:
        async with aws.client("sns") as sns:
            await sns.publish(TopicArn=aws.topic_arn, Message="old")

    async def look(aws: Emulator) -> None:
        async with aws.client("sqs") as sqs:
            assert "Messages" not in await sqs.receive_message(QueueUrl=aws.queue_url)

    run(publish)
    run(look)


def test_the_environment_points_a_program_to_the_emulator() -> None:
    async def test(aws: Emulator) -> None:
        assert aws.environment == {
            "AWS_ENDPOINT_URL": aws.endpoint_url,
            "AWS_DEFAULT_REGION": "us-east-1",
            "AWS_ACCESS_KEY_ID": "test",
            "AWS_SECRET_ACCESS_KEY": "test",
        }
        nowhere = replace(aws, endpoint_url="http://127.0.0.1:1")
        assert nowhere.environment["AWS_ENDPOINT_URL"] == "http://127.0.0.1:1"

    run(test)


def test_a_missing_extra_is_named_in_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "sse_service.dev.moto_server", raising=False)
    monkeypatch.setitem(sys.modules, "moto.moto_server.werkzeug_app", None)

    async def test() -> None:
        async with emulator():
            pass

    with pytest.raises(ImportError, match="pip install") as caught:
        asyncio.run(test())
    assert str(caught.value) == MISSING
