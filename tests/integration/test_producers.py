"""What a browser receives from each kind of producer, through the emulator's SNS and SQS."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from typing import Any

import pytest

from sse_service.dev.emulator import Emulator
from sse_service.dev.moto_server import MotoServer
from tests.integration.chain import Chain, service
from tests.integration.emulated import create_resources

S3_RECORD = {
    "eventSource": "aws:s3",
    "eventName": "ObjectCreated:Put",
    "eventTime": "2026-11-25T08:00:00.000Z",
    "s3": {"bucket": {"name": "b"}, "object": {"key": "users/ann%2F7/a+b.pdf", "size": 1}},
}


@pytest.fixture(scope="module")
def aws() -> Iterator[Emulator]:
    server = MotoServer()
    try:
        # Short, so that messages soon become dead letters.
        yield asyncio.run(create_resources(Emulator(endpoint_url=server.url), visibility_seconds=1))
    finally:
        server.stop()


@pytest.fixture(scope="module")
def chain(aws: Emulator) -> Iterator[Chain]:
    with service(aws.endpoint_url, queue_url=aws.queue_url, s3_key_pattern="users/{user}/*") as running:
        yield running


def publish(aws: Emulator, message: str, **attributes: str) -> str:
    async def send() -> str:
        typed = {
            name: {"DataType": "String.Array" if value.startswith("[") else "String", "StringValue": value}
            for name, value in attributes.items()
        }
        async with aws.client("sns") as sns:
            answer = await sns.publish(TopicArn=aws.topic_arn, Message=message, MessageAttributes=typed)
            return str(answer["MessageId"])

    return asyncio.run(send())


def send(aws: Emulator, body: str) -> None:
    async def call() -> None:
        async with aws.client("sqs") as sqs:
            await sqs.send_message(QueueUrl=aws.queue_url, MessageBody=body)

    asyncio.run(call())


async def dead_letters(aws: Emulator) -> list[str]:
    """Receive and delete messages of the dead-letter queue, with one long poll."""
    async with aws.client("sqs") as sqs:
        answer = await sqs.receive_message(QueueUrl=aws.dead_letter_queue_url, WaitTimeSeconds=20)
        messages = answer.get("Messages", [])
        for message in messages:
            await sqs.delete_message(QueueUrl=aws.dead_letter_queue_url, ReceiptHandle=message["ReceiptHandle"])
        return [message["Body"] for message in messages]


def as_json(value: Any) -> str:
    return json.dumps(value, separators=(",", ":"))


def bridge(detail: Any) -> str:
    return as_json({"version": "0", "id": "e-1", "detail-type": "Job done", "source": "jobs", "detail": detail})


@pytest.mark.parametrize(
    ("user", "message", "attributes", "kind", "data"),
    [
        ("ann-1", "plain text", {"user_id": "ann-1", "event_type": "note"}, "note", "plain text"),
        ("ann-2", "to many", {"user_id": '["bob", "ann-2"]'}, "message", "to many"),
        ("ann-3", '{ "user_id": "ann-3" }', {}, "message", '{ "user_id": "ann-3" }'),
        ("ann-4", as_json({"detail": {"userId": "ann-4"}}), {}, "message", as_json({"detail": {"userId": "ann-4"}})),
        ("ann-5", bridge({"user_id": "ann-5", "n": 1}), {}, "Job done", as_json({"user_id": "ann-5", "n": 1})),
        (
            "ann-6",
            as_json({"specversion": "1.0", "id": "c-1", "source": "/s", "type": "a.b", "data": {"user_id": "ann-6"}}),
            {},
            "a.b",
            as_json({"user_id": "ann-6"}),
        ),
        ("7", as_json({"user_id": 7}), {}, "message", as_json({"user_id": 7})),
        ("ann-8", "to everyone", {"broadcast": "true"}, "message", "to everyone"),
    ],
)
def test_a_message_published_to_the_topic_reaches_its_user(
    aws: Emulator, chain: Chain, user: str, message: str, attributes: dict[str, str], kind: str, data: str
) -> None:
    with chain.stream(user) as stream:
        publish(aws, message, **attributes)
        received = stream.wait_for(data)
    assert (received.type, received.data) == (kind, data)


def test_an_eventbridge_event_may_come_directly_to_the_queue(aws: Emulator, chain: Chain) -> None:
    with chain.stream("direct") as stream:
        send(aws, bridge({"user_id": "direct"}))
        assert stream.wait_for("Job done").data == as_json({"user_id": "direct"})


def test_each_record_of_an_s3_notification_is_an_event_for_the_user_in_its_key(aws: Emulator, chain: Chain) -> None:
    other = {**S3_RECORD, "s3": {"object": {"key": "users/bob/x"}}}
    with chain.stream("ann", subject="users/ann/7/a b.pdf") as ann, chain.stream("bob") as bob:
        publish(aws, as_json({"Service": "Amazon S3", "Event": "s3:TestEvent", "Bucket": "b"}))
        publish(aws, as_json({"Records": [S3_RECORD, other]}))
        assert json.loads(ann.wait_for("ObjectCreated:Put").data) == S3_RECORD
        assert json.loads(bob.wait_for("ObjectCreated:Put").data) == other


def test_an_s3_event_through_eventbridge_reaches_the_user_in_its_key(aws: Emulator, chain: Chain) -> None:
    detail = {"version": "0", "bucket": {"name": "b"}, "object": {"key": "users/eve/a+b.pdf", "size": 1}}
    event = {"version": "0", "id": "s3-1", "detail-type": "Object Created", "source": "aws.s3", "detail": detail}
    with chain.stream("eve", subject="users/eve/a+b.pdf") as stream:
        publish(aws, as_json(event))
        assert json.loads(stream.wait_for("Object Created").data) == detail


def test_a_message_that_is_not_understood_becomes_a_dead_letter_and_its_neighbours_arrive(
    aws: Emulator, chain: Chain
) -> None:
    with chain.stream("careful") as stream:
        publish(aws, "before", user_id="careful")
        message_id = publish(aws, "for nobody")
        publish(aws, "after", user_id="careful")
        stream.wait_for("before")
        stream.wait_for("after")
    assert [json.loads(body)["MessageId"] for body in asyncio.run(dead_letters(aws))] == [message_id]
    assert f"(event {message_id}) was not understood (reason: not_json; " in chain.process.output


def test_a_message_with_a_bad_record_becomes_a_dead_letter_and_its_good_records_arrive_once(
    aws: Emulator, chain: Chain
) -> None:
    good = {**S3_RECORD, "s3": {"object": {"key": "users/fay/line%0Dend"}}}
    with chain.stream("fay") as stream:
        message_id = publish(aws, as_json({"Records": [{"eventSource": "aws:s3"}, good]}))
        assert [json.loads(body)["MessageId"] for body in asyncio.run(dead_letters(aws))] == [message_id]
        publish(aws, "last", user_id="fay")
        stream.wait_for("last")
        assert [json.loads(data) for data in stream.data[:-1]] == [good]
    assert (
        f"(event {message_id}) record 0 was not understood (reason: s3; the record has no object key)"
        in chain.process.output
    )
