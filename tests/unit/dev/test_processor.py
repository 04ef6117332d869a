"""The demo's file processing, called like the consumer of the uploads queue calls it."""

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import pytest
from botocore.exceptions import ClientError

from consumers.base import Outcome
from consumers.envelope import Envelope, unwrap
from sse_service.dev.jobs import Jobs, State
from sse_service.dev.processor import Processor
from sse_service.dev.uploads import uploads_of
from tests.unit.task import wait_until


class Bucket:
    """Holds a few files. The first ``failures`` calls fail."""

    def __init__(self, failures: int = 0) -> None:
        self.files = {"a.txt": b"x" * 1500, "b.txt": b"text", "empty.txt": b"", "bad.fail": b"x"}
        self.failures = failures

    async def get_object(self, **asked: Any) -> dict[str, Any]:
        name = asked["Key"].rpartition("/")[2]
        if self.failures:
            self.failures -= 1
            raise ClientError({"Error": {"Code": "SlowDown"}}, "GetObject")
        if name not in self.files:
            raise ClientError({"Error": {"Code": "NoSuchKey"}}, "GetObject")
        return {"Body": Body(self.files[name])}


class Body:
    """A streaming body."""

    def __init__(self, content: bytes) -> None:
        self.content = content

    async def iter_chunks(self, size: int) -> AsyncIterator[bytes]:
        for start in range(0, len(self.content), size):
            yield self.content[start : start + size]


class Topic:
    """Remembers published messages. After the first ``allow`` calls, it refuses the next ``refuse`` calls."""

    def __init__(self, refuse: int = 0, allow: int = 0) -> None:
        self.sent: list[dict[str, str]] = []
        self.bodies: list[dict[str, Any]] = []
        self.refuse = refuse
        self.allow = allow

    @property
    def ended(self) -> int:
        """How many files are done or failed."""
        return sum(sent["event_type"] in ("upload.done", "upload.failed") for sent in self.sent)

    async def publish(self, **asked: Any) -> None:
        if self.refuse and len(self.sent) >= self.allow:
            self.refuse -= 1
            raise ClientError({"Error": {"Code": "Throttled"}}, "Publish")
        self.sent.append({name: a["StringValue"] for name, a in asked["MessageAttributes"].items()})
        self.bodies.append(json.loads(asked["Message"]))


def record(key: str, **fields: Any) -> dict[str, Any]:
    s3_object = {"key": key, "eTag": "e1", "sequencer": "01", **fields}
    return {
        "eventSource": "aws:s3",
        "eventTime": "2026-11-25T08:00:00.000Z",
        "s3": {"bucket": {"name": "uploads"}, "object": s3_object},
    }


def envelope(body: Any) -> Envelope:
    return unwrap(message_id="m1", body=json.dumps(body))


def notification(*keys: str) -> Envelope:
    return envelope({"Records": [record(key) for key in keys]})


def process(
    *envelopes: Envelope,
    topic: Topic | None = None,
    jobs: Jobs | None = None,
    bucket: Bucket | None = None,
    ends: int = 1,
) -> list[Outcome]:
    """Handle these Envelopes, wait until ``ends`` files are done or failed, and return the outcomes."""
    topic = Topic() if topic is None else topic

    async def inside() -> list[Outcome]:
        processor = Processor(
            s3=bucket or Bucket(),
            sns=topic,
            topic_arn="arn",
            jobs=Jobs() if jobs is None else jobs,
            step_seconds=0,
            retry_seconds=0,
        )
        async with asyncio.timeout(20):
            running = asyncio.create_task(processor.run())
            outcomes = await processor(envelopes)
            await wait_until(lambda: running.done() or topic.ended >= ends)
            running.cancel()
            await asyncio.wait([running])
            if not running.cancelled():
                running.result()
        return outcomes

    return asyncio.run(inside())


def test_a_file_goes_from_waiting_to_done_in_order() -> None:
    topic, jobs = Topic(), Jobs()
    assert process(notification("users/Zo%C3%AB+1/x/a.txt"), topic=topic, jobs=jobs) == [Outcome.DONE]
    [job] = jobs.of("Zoë 1")
    assert (job.name, job.state, job.progress) == ("a.txt", State.DONE, 100)
    assert job.message.startswith("1,500 bytes, SHA-256 ")
    assert [sent["event_type"] for sent in topic.sent] == [
        "upload.waiting",
        *["upload.processing"] * 5,
        "upload.done",
    ]
    progress = [body["progress"] for body in topic.bodies]
    assert progress == sorted(progress)
    assert {sent["user_id"] for sent in topic.sent} == {"Zoë 1"}
    assert {sent["subject"] for sent in topic.sent} == {job.id}
    assert topic.bodies[-1] == job.as_json()


def test_each_step_has_an_id_of_its_own_and_keeps_it_when_repeated() -> None:
    topic = Topic()
    process(notification("users/ann/a.txt"), topic=topic)
    ids = [sent["event_id"] for sent in topic.sent]
    assert len(set(ids)) == len(ids)
    process(notification("users/ann/a.txt"), topic=topic, ends=2)
    assert [sent["event_id"] for sent in topic.sent[len(ids) :]] == ids


def test_the_same_key_uploaded_again_is_another_job() -> None:
    versions = ({"sequencer": "01"}, {"sequencer": "02"}, {"eTag": "e2"}, {"sequencer": None})
    [*uploads] = uploads_of({"Records": [record("users/ann/a.txt", **fields) for fields in versions]})
    assert len({upload.job.id for upload in uploads}) == len(versions)


def test_a_file_that_the_back_end_stored_has_its_uploads_id() -> None:
    jobs = Jobs()
    process(notification(f"users/ann/{'0a' * 16}/a.txt"), jobs=jobs)
    assert [job.id for job in jobs.of("ann")] == ["0a" * 16]


@pytest.mark.parametrize("name", ["empty.txt", "bad.fail", "gone.txt"])
def test_a_file_that_cannot_be_processed_ends_failed_and_says_why(name: str) -> None:
    topic, jobs = Topic(), Jobs()
    assert process(notification(f"users/ann/{name}"), topic=topic, jobs=jobs) == [Outcome.DONE]
    assert topic.sent[-1]["event_type"] == "upload.failed"
    assert jobs.of("ann")[0].state is State.FAILED
    assert jobs.of("ann")[0].message


def test_a_job_is_stored_before_it_is_published() -> None:
    jobs = Jobs()
    known = []

    class Watching(Topic):
        async def publish(self, **asked: Any) -> None:
            await super().publish(**asked)
            known.append(jobs.of("ann")[0].as_json() == self.bodies[-1])

    process(notification("users/ann/a.txt"), topic=Watching(), jobs=jobs)
    assert known
    assert all(known)


def test_a_file_that_cannot_be_announced_is_held_in_the_queue_and_accepted_when_it_comes_again() -> None:
    topic, jobs = Topic(refuse=1), Jobs()
    message = notification("users/ann/a.txt")
    assert process(message, topic=topic, jobs=jobs, ends=0) == [Outcome.NOT_NOW]
    assert process(message, topic=topic, jobs=jobs) == [Outcome.DONE]
    assert topic.sent[-1]["event_type"] == "upload.done"


@pytest.mark.parametrize("allow", [1, 2, 6])
def test_while_the_topic_is_unavailable_a_step_is_retried(allow: int) -> None:
    topic = Topic(refuse=2, allow=allow)
    assert process(notification("users/ann/a.txt"), topic=topic) == [Outcome.DONE]
    assert topic.refuse == 0
    assert topic.sent[-1]["event_type"] == "upload.done"


def test_while_the_bucket_is_unavailable_reading_is_retried() -> None:
    topic, bucket = Topic(), Bucket(failures=2)
    assert process(notification("users/ann/a.txt"), topic=topic, bucket=bucket) == [Outcome.DONE]
    assert bucket.failures == 0
    assert topic.sent[-1]["event_type"] == "upload.done"


def test_all_records_of_a_message_are_processed() -> None:
    jobs = Jobs()
    assert process(notification("users/ann/a.txt", "users/ann/b.txt"), jobs=jobs, ends=2) == [Outcome.DONE]
    assert {job.name for job in jobs.of("ann")} == {"a.txt", "b.txt"}


def test_a_notification_that_is_delivered_twice_is_processed_once() -> None:
    topic, message = Topic(), notification("users/ann/a.txt")
    process(message, message, notification("users/ann/b.txt"), topic=topic, ends=2)
    started = [sent for sent in topic.sent if sent["event_id"].endswith(".processing.0")]
    assert len(started) == len({sent["subject"] for sent in started}) == 2


def test_files_are_accepted_while_others_are_processed_and_wait_only_for_a_free_worker() -> None:
    jobs, topic = Jobs(), Topic()

    async def inside() -> None:
        processor = Processor(s3=Bucket(), sns=topic, topic_arn="arn", jobs=jobs, at_once=2, step_seconds=3600)
        async with asyncio.timeout(20):
            running = asyncio.create_task(processor.run())
            for name in ("a.txt", "b.txt", "c.txt"):
                # Each is accepted although no earlier file is done.
                assert await processor([notification(f"users/ann/{name}")]) == [Outcome.DONE]
            await wait_until(lambda: sum(job.state is State.PROCESSING for job in jobs.of("ann")) == 2)
            running.cancel()
            await asyncio.wait([running])

    asyncio.run(inside())
    assert [job.state for job in jobs.of("ann")] == [State.WAITING, State.PROCESSING, State.PROCESSING]
    assert [sent["event_type"] for sent in topic.sent].count("upload.waiting") == 3


def test_s3s_own_test_notification_is_done() -> None:
    assert process(envelope({"Service": "Amazon S3", "Event": "s3:TestEvent"}), ends=0) == [Outcome.DONE]


@pytest.mark.parametrize(
    "body",
    ["text", None, [], 1, {}, {"Records": None}, {"Records": [{}]}, {"Records": [record("a.txt")]}]
    + [{"Records": [record(key)]} for key in ("users/", "users//a", "users/ann", "users/ann/")],
)
def test_a_message_that_is_not_a_notification_of_a_users_upload_is_not_understood(body: Any) -> None:
    topic = Topic()
    assert process(envelope(body), notification("users/ann/a.txt"), topic=topic) == [
        Outcome.NOT_UNDERSTOOD,
        Outcome.DONE,
    ]
    assert topic.sent


def test_a_bug_is_not_retried() -> None:
    class Broken(Topic):
        async def publish(self, **asked: Any) -> None:
            raise AssertionError("a bug")

    class BrokenBucket(Bucket):
        async def get_object(self, **asked: Any) -> dict[str, Any]:
            raise AssertionError("a bug")

    with pytest.raises(AssertionError):
        process(notification("users/ann/a.txt"), topic=Broken())
    with pytest.raises(ExceptionGroup, match="unhandled") as caught:
        process(notification("users/ann/a.txt"), bucket=BrokenBucket())
    assert caught.group_contains(AssertionError)
