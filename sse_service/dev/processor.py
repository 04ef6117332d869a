"""The demo's file processing. A real system may use Lambda functions. It uses only the bucket and the topic."""

from __future__ import annotations

import asyncio
import hashlib
import logging
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import orjson
from botocore.exceptions import ClientError

from consumers.base import Outcome
from consumers.sqs.backoff import backoff
from consumers.sqs.failures import AWS_ERRORS
from sse_service.dev.jobs import Job, State
from sse_service.dev.uploads import Upload, uploads_of

if TYPE_CHECKING:
    from consumers.envelope import Envelope
    from sse_service.dev.jobs import Jobs

_log = logging.getLogger(__name__)

_STEPS = ((10, "Reading"), (30, "Checking"), (55, "Counting"), (80, "Writing the summary"))


class Processor:
    """The Handler of the uploads queue: it accepts each file at once, and processes accepted files in parallel.

    The consumer receives the next file only after the Handler has answered. If the answer came after the processing,
    a small file would wait for a large one before it.
    Accepted files are lost if the process ends. So are the bucket and the queue, which are in the same process.
    """

    def __init__(
        self,
        *,
        s3: Any,
        sns: Any,
        topic_arn: str,
        jobs: Jobs,
        at_once: int = 8,
        step_seconds: float = 1.0,
        retry_seconds: float = 20.0,
    ) -> None:
        """``at_once`` is the number of files processed in parallel. ``retry_seconds`` caps the back-off."""
        self._s3 = s3
        self._sns = sns
        self._topic_arn = topic_arn
        self._jobs = jobs
        self._at_once = at_once
        self._step_seconds = step_seconds
        self._retry_seconds = retry_seconds
        self._accepted: asyncio.Queue[tuple[Upload, Job]] = asyncio.Queue()

    async def __call__(self, envelopes: Sequence[Envelope], /) -> list[Outcome]:
        """Accept files. Each becomes a job that is stored and published as waiting."""
        return list(await asyncio.gather(*map(self._accept, envelopes)))

    async def run(self) -> None:
        """Process accepted files until cancelled."""
        async with asyncio.TaskGroup() as workers:
            for _ in range(self._at_once):
                workers.create_task(self._work())

    async def _accept(self, envelope: Envelope) -> Outcome:
        try:
            files = [(upload, upload.job) for upload in uploads_of(envelope.body)]
        except (ValueError, KeyError, TypeError):
            _log.warning("message %s is not a notification of an upload", envelope.message_id)
            return Outcome.NOT_UNDERSTOOD
        try:
            for upload, job in files:
                await self._tell(job)
                self._accepted.put_nowait((upload, job))
        except AWS_ERRORS as error:
            _log.warning("message %s will be retried: %s", envelope.message_id, type(error).__name__)
            return Outcome.NOT_NOW
        return Outcome.DONE

    async def _work(self) -> None:
        while True:
            upload, job = await self._accepted.get()
            started = replace(job, state=State.PROCESSING, message="Started")
            # A notification can be delivered twice. For the second copy, the job has already started.
            if self._jobs.update(started):
                await self._process_until_done(upload, started)

    async def _process_until_done(self, upload: Upload, started: Job) -> None:
        failures = 0
        while True:
            try:
                await self._process(upload, started)
                return
            except AWS_ERRORS as error:
                failures += 1
                _log.warning("job %s will be retried: %s", started.id, type(error).__name__)
                await asyncio.sleep(backoff(failures, self._retry_seconds))

    async def _process(self, upload: Upload, job: Job) -> None:
        await self._tell(job)
        fault, summary = await self._read(upload)
        # Slow enough to reload the page during the processing.
        seconds = self._step_seconds * 3 if upload.key.endswith(".slow") else self._step_seconds
        for progress, message in _STEPS:
            await asyncio.sleep(seconds)
            await self._tell(replace(job, progress=progress, message=message))
            if fault and progress > 50:
                await self._tell(replace(job, state=State.FAILED, progress=progress, message=fault))
                return
        await asyncio.sleep(seconds)
        await self._tell(replace(job, state=State.DONE, progress=100, message=summary))

    async def _read(self, upload: Upload) -> tuple[str, str]:
        """Return what is wrong with the file, or a summary of it. One of the two is empty."""
        size, digest = 0, hashlib.sha256()
        try:
            answer = await self._s3.get_object(Bucket=upload.bucket, Key=upload.key)
            async for chunk in answer["Body"].iter_chunks(65536):
                size += len(chunk)
                digest.update(chunk)
        except ClientError as error:
            if error.response["Error"].get("Code") != "NoSuchKey":
                raise
            return "The file was deleted before it was processed", ""
        if size == 0:
            return "The file is empty", ""
        if upload.key.endswith(".fail"):
            return "Files whose name ends in .fail fail on purpose", ""
        return "", f"{size:,} bytes, SHA-256 {digest.hexdigest()[:12]}…"

    async def _tell(self, job: Job) -> None:
        """Store the job's state, then publish it. A page that fetches jobs after an event must find the new state."""
        self._jobs.update(job)
        attributes = {
            "user_id": job.user,
            "event_type": f"upload.{job.state.value}",
            "subject": job.id,
            # A retry publishes the same id again, so that the service delivers each step once.
            "event_id": f"{job.id}.{job.state.value}.{job.progress}",
        }
        await self._sns.publish(
            TopicArn=self._topic_arn,
            Message=orjson.dumps(job.as_json()).decode(),
            MessageAttributes={name: {"DataType": "String", "StringValue": text} for name, text in attributes.items()},
        )
