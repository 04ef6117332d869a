"""The demo's processing, a stand-in for Lambdas: knows the bucket and the topic, nothing of the service."""

from __future__ import annotations

import asyncio
import hashlib
import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote_plus

import orjson
from botocore.exceptions import ClientError

from consumers.base import Outcome
from consumers.sqs.failures import AWS_ERRORS
from sse_service.dev.jobs import Job, State

if TYPE_CHECKING:
    from consumers.envelope import Envelope
    from sse_service.dev.jobs import Jobs

_log = logging.getLogger(__name__)

_WORK = ((10, "Reading"), (30, "Checking"), (55, "Counting"), (80, "Writing the summary"))


@dataclass(frozen=True, slots=True)
class Upload:
    """One record of an S3 notification."""

    bucket: str
    key: str
    version: str
    """What tells two uploads to one key apart."""

    @property
    def job(self) -> Job:
        """Its job; the same for every copy of the notification. Raises ValueError where the key names no user."""
        place, _, rest = self.key.partition("/")
        user, _, path = rest.partition("/")
        name = path.rpartition("/")[2]
        if place != "users" or not user or not name:
            raise ValueError("the key is not users/<user>/…")
        job_id = hashlib.sha256(f"{self.bucket}\n{self.key}\n{self.version}".encode()).hexdigest()[:16]
        return Job(id=job_id, user=user, name=name, key=self.key, message="Waiting for its turn")


class Processor:
    """The Handler of the uploads queue: a receive's files side by side, each done when its last step is published."""

    def __init__(
        self, *, s3: Any, sns: Any, topic_arn: str, jobs: Jobs, pace_seconds: float = 1.0, at_once: int = 16
    ) -> None:
        self._s3 = s3
        self._sns = sns
        self._topic_arn = topic_arn
        self._jobs = jobs
        self._pace = pace_seconds
        self._slots = asyncio.Semaphore(at_once)

    async def __call__(self, envelopes: Sequence[Envelope], /) -> list[Outcome]:
        """Answer when all is processed, so that a file whose processing was cut short comes again."""
        return list(await asyncio.gather(*map(self._envelope, envelopes)))

    async def _envelope(self, envelope: Envelope) -> Outcome:
        try:
            uploads = uploads_of(envelope.body)
            started = [(upload, upload.job) for upload in uploads]
        except (ValueError, KeyError, TypeError):
            _log.warning("message %s is no notification of an upload", envelope.message_id)
            return Outcome.NOT_UNDERSTOOD
        results = await asyncio.gather(*(self._process(*pair) for pair in started), return_exceptions=True)
        outcome = Outcome.DONE
        for result in results:
            if isinstance(result, AWS_ERRORS):
                _log.warning("message %s must wait: %s", envelope.message_id, type(result).__name__)
                outcome = Outcome.NOT_NOW
            elif isinstance(result, BaseException):
                raise result
        return outcome

    async def _process(self, upload: Upload, job: Job) -> None:
        await self._tell(job)
        async with self._slots:
            await self._tell(replace(job, state=State.PROCESSING, message="Started"))
            fault, summary = await self._read(upload)
            # Time to reload the page in the middle.
            pace = self._pace * 3 if upload.key.endswith(".slow") else self._pace
            for progress, message in _WORK:
                await asyncio.sleep(pace)
                await self._tell(replace(job, state=State.PROCESSING, progress=progress, message=message))
                if fault and progress > 50:
                    await self._tell(replace(job, state=State.FAILED, progress=progress, message=fault))
                    return
            await asyncio.sleep(pace)
            await self._tell(replace(job, state=State.DONE, progress=100, message=summary))

    async def _read(self, upload: Upload) -> tuple[str, str]:
        """What is wrong with the file, and what is in it."""
        size, digest = 0, hashlib.sha256()
        try:
            answer = await self._s3.get_object(Bucket=upload.bucket, Key=upload.key)
            async for chunk in answer["Body"].iter_chunks(65536):
                size += len(chunk)
                digest.update(chunk)
        except ClientError as error:
            if error.response["Error"].get("Code") != "NoSuchKey":
                raise
            return "The file is no longer there", ""
        if size == 0:
            return "The file is empty", ""
        if upload.key.endswith(".fail"):
            return "A name that ends in .fail fails, to show how that looks", ""
        return "", f"{size:,} bytes, SHA-256 {digest.hexdigest()[:12]}…"

    async def _tell(self, job: Job) -> None:
        """Store the step, then publish it: who fetches the state after an event must find it there."""
        self._jobs.update(job)
        attributes = {
            "user_id": job.user,
            "event_type": f"upload.{job.state.value}",
            "subject": job.id,
            # The same in a repetition, so that the service shows each step once.
            "event_id": f"{job.id}.{job.state.value}.{job.progress}",
        }
        await self._sns.publish(
            TopicArn=self._topic_arn,
            Message=orjson.dumps(job.as_json()).decode(),
            MessageAttributes={name: {"DataType": "String", "StringValue": text} for name, text in attributes.items()},
        )


def uploads_of(body: Any) -> list[Upload]:
    """The uploads that a notification names; none in S3's own test of a new one.

    Raises ValueError, KeyError or TypeError for anything else.
    """
    if isinstance(body, dict) and body.get("Event") == "s3:TestEvent":
        return []
    found = []
    for record in body["Records"]:
        thing = record["s3"]["object"]
        # The key comes URL-encoded, with + for a space. Two uploads of the same bytes differ by their sequencer.
        version = f"{thing['eTag']} {thing.get('sequencer') or record['eventTime']}"
        found.append(Upload(record["s3"]["bucket"]["name"], unquote_plus(thing["key"]), version))
    return found
