"""The demo's processing, as the consumer of the uploads queue calls it."""

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import pytest
from botocore.exceptions import ClientError

from consumers.base import Outcome
from consumers.envelope import Envelope, unwrap
from sse_service.dev.jobs import Jobs, State
from sse_service.dev.processor import Processor, uploads_of


class Bucket:
    """Holds a few files; answers with another code than "not there" for the key ``away``."""

    def __init__(self, **files: bytes) -> None:
        self.files = files

    async def get_object(self, **asked: Any) -> dict[str, Any]:
        name = asked["Key"].rpartition("/")[2].replace(".", "_")
        if name not in self.files:
            code = "SlowDown" if name == "away" else "NoSuchKey"
            raise ClientError({"Error": {"Code": code}}, "GetObject")
        return {"Body": Body(self.files[name])}


class Body:
    """A streaming body."""

    def __init__(self, content: bytes) -> None:
        self.content = content

    async def iter_chunks(self, size: int) -> AsyncIterator[bytes]:
        for start in range(0, len(self.content), size):
            yield self.content[start : start + size]


class Topic:
    """Remembers what is published; refuses as many calls as it was told to."""

    def __init__(self, refuse: int = 0) -> None:
        self.sent: list[dict[str, str]] = []
        self.bodies: list[dict[str, Any]] = []
        self.refuse = refuse

    async def publish(self, **asked: Any) -> None:
        if self.refuse:
            self.refuse -= 1
            raise ClientError({"Error": {"Code": "Throttled"}}, "Publish")
        self.sent.append({name: a["StringValue"] for name, a in asked["MessageAttributes"].items()})
        self.bodies.append(json.loads(asked["Message"]))


def record(key: str, **fields: Any) -> dict[str, Any]:
    thing = {"key": key, "eTag": "e1", "sequencer": "01", **fields}
    return {
        "eventSource": "aws:s3",
        "eventTime": "2026-11-25T08:00:00.000Z",
        "s3": {"bucket": {"name": "uploads"}, "object": thing},
    }


def envelope(body: Any) -> Envelope:
    return unwrap(message_id="m1", body=json.dumps(body))


def notice(*keys: str) -> Envelope:
    return envelope({"Records": [record(key) for key in keys]})


def process(*envelopes: Envelope, topic: Topic | None = None, jobs: Jobs | None = None) -> list[Outcome]:
    async def inside() -> list[Outcome]:
        bucket = Bucket(a_txt=b"x" * 1500, b_txt=b"text", empty_txt=b"", bad_fail=b"x")
        processor = Processor(
            s3=bucket, sns=topic or Topic(), topic_arn="arn", jobs=Jobs() if jobs is None else jobs, pace_seconds=0
        )
        return await processor(envelopes)

    return asyncio.run(inside())


def test_a_file_goes_from_received_to_done_in_order() -> None:
    topic, jobs = Topic(), Jobs()
    assert process(notice("users/Zo%C3%AB+1/x/a.txt"), topic=topic, jobs=jobs) == [Outcome.DONE]
    [job] = jobs.of("Zoë 1")
    assert (job.name, job.state, job.progress) == ("a.txt", State.DONE, 100)
    assert job.message.startswith("1,500 bytes, SHA-256 ")
    assert [sent["event_type"] for sent in topic.sent] == [
        "upload.received",
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
    process(notice("users/ann/a.txt"), topic=topic)
    ids = [sent["event_id"] for sent in topic.sent]
    assert len(set(ids)) == len(ids)
    process(notice("users/ann/a.txt"), topic=topic)
    assert [sent["event_id"] for sent in topic.sent[len(ids) :]] == ids


def test_the_same_key_uploaded_again_is_another_job() -> None:
    versions = ({"sequencer": "01"}, {"sequencer": "02"}, {"eTag": "e2"}, {"sequencer": None})
    [*uploads] = uploads_of({"Records": [record("users/ann/a.txt", **fields) for fields in versions]})
    assert len({upload.job.id for upload in uploads}) == len(versions)


@pytest.mark.parametrize("name", ["empty.txt", "bad.fail", "gone.txt"])
def test_what_cannot_be_processed_ends_failed_and_says_why(name: str) -> None:
    topic, jobs = Topic(), Jobs()
    assert process(notice(f"users/ann/{name}"), topic=topic, jobs=jobs) == [Outcome.DONE]
    assert topic.sent[-1]["event_type"] == "upload.failed"
    assert jobs.of("ann")[0].state is State.FAILED
    assert jobs.of("ann")[0].message


def test_a_files_state_is_stored_before_it_is_published() -> None:
    jobs = Jobs()
    known = []

    class Watching(Topic):
        async def publish(self, **asked: Any) -> None:
            await super().publish(**asked)
            known.append(jobs.of("ann")[0].as_json() == self.bodies[-1])

    process(notice("users/ann/a.txt"), topic=Watching(), jobs=jobs)
    assert known
    assert all(known)


def test_when_the_topic_is_away_the_message_is_held_and_its_repetition_completes_it() -> None:
    topic, jobs = Topic(refuse=1), Jobs()
    message = notice("users/ann/a.txt")
    assert process(message, topic=topic, jobs=jobs) == [Outcome.NOT_NOW]
    assert process(message, topic=topic, jobs=jobs) == [Outcome.DONE]
    assert topic.sent[-1]["event_type"] == "upload.done"


def test_when_the_bucket_is_away_the_message_is_held() -> None:
    assert process(notice("users/ann/away")) == [Outcome.NOT_NOW]


def test_all_records_of_a_message_are_processed() -> None:
    jobs = Jobs()
    assert process(notice("users/ann/a.txt", "users/ann/b.txt"), jobs=jobs) == [Outcome.DONE]
    assert {job.name for job in jobs.of("ann")} == {"a.txt", "b.txt"}


def test_files_are_processed_side_by_side() -> None:
    topic = Topic()
    process(notice("users/ann/a.txt"), notice("users/ann/b.txt"), topic=topic)
    subjects = [sent["subject"] for sent in topic.sent]
    assert subjects != sorted(subjects)
    assert subjects != sorted(subjects, reverse=True)


def test_s3s_own_test_of_the_notification_is_done() -> None:
    assert process(envelope({"Service": "Amazon S3", "Event": "s3:TestEvent"})) == [Outcome.DONE]


@pytest.mark.parametrize(
    "body",
    ["text", None, [], 1, {}, {"Records": None}, {"Records": [{}]}, {"Records": [record("a.txt")]}]
    + [{"Records": [record(key)]} for key in ("users/", "users//a", "users/ann", "users/ann/")],
)
def test_what_is_no_notification_of_a_users_upload_is_left_to_the_redrive(body: Any) -> None:
    topic = Topic()
    assert process(envelope(body), notice("users/ann/a.txt"), topic=topic) == [Outcome.NOT_UNDERSTOOD, Outcome.DONE]
    assert topic.sent


def test_a_fault_of_our_own_is_not_taken_for_an_absent_service() -> None:
    class Broken(Topic):
        async def publish(self, **asked: Any) -> None:
            raise AssertionError("a bug")

    with pytest.raises(AssertionError):
        process(notice("users/ann/a.txt"), topic=Broken())
