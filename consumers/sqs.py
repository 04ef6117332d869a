"""Reads one SQS queue: long polls side by side, deletes in batches, holds what cannot be stored yet."""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from typing import TYPE_CHECKING, Any

import aiohttp
from botocore.exceptions import BotoCoreError, ClientError

from consumers.base import Outcome
from consumers.envelope import Envelope, unwrap
from consumers.errors import NotUnderstood

if TYPE_CHECKING:
    from types_aiobotocore_sqs import SQSClient

    from consumers.base import Handler

FAULTS = (ClientError, BotoCoreError, aiohttp.ClientError, OSError, TimeoutError)
"""What a call to SQS may raise."""

BATCH = 10
"""Messages of one receive or one delete (AWS's limit)."""

_log = logging.getLogger(__name__)


class SQSConsumer:
    """A Consumer of a standard queue."""

    def __init__(
        self,
        *,
        connect: Callable[[], AbstractAsyncContextManager[SQSClient]],
        queue_url: str,
        handler: Handler,
        pollers: int = 2,
        wait_seconds: int = 20,
        retry_seconds: float = 20,
        flush_seconds: float = 0.1,
    ) -> None:
        """Raises ValueError for a FIFO queue: its order by group is not kept by polls side by side."""
        if queue_url.endswith(".fifo"):
            raise ValueError("a FIFO queue is not supported")
        self._connect = connect
        self._url = queue_url
        self._handler = handler
        self._pollers = pollers
        self._wait = wait_seconds
        self._retry = retry_seconds
        self._flush = flush_seconds
        self._stopping = asyncio.Event()
        # Receipt handles that wait to be deleted; bounded, so that a queue that takes no deletes stops receives.
        self._done: asyncio.Queue[str] = asyncio.Queue(100)
        # Receipt handles in hand, whose visibility is extended.
        self._held: set[str] = set()
        self._visibility = 30
        self.ready = False
        """True after the first successful receive."""

    def stop(self) -> None:
        """Begin no further receive."""
        self._stopping.set()

    async def run(self) -> None:
        """Read until stopped; cancelling leaves what is held to the visibility timeout."""
        async with self._connect() as client:
            await self._ask_queue(client)
            keeper = asyncio.create_task(self._extend(client))
            deleter = asyncio.create_task(self._delete(client))
            try:
                async with asyncio.TaskGroup() as polls:
                    for _ in range(self._pollers):
                        polls.create_task(self._poll(client))
                await self._done.join()
            finally:
                keeper.cancel()
                deleter.cancel()
                await asyncio.gather(keeper, deleter, return_exceptions=True)

    async def _ask_queue(self, client: SQSClient) -> None:
        try:
            answer = await client.get_queue_attributes(
                QueueUrl=self._url, AttributeNames=["VisibilityTimeout", "RedrivePolicy"]
            )
        except FAULTS as error:
            _log.warning("queue attributes unknown, assuming a visibility timeout of 30 s: %s", _name(error))
            return
        attributes = answer.get("Attributes", {})
        self._visibility = int(attributes.get("VisibilityTimeout", 30))
        if "RedrivePolicy" not in attributes:
            _log.warning("the queue has no redrive policy: what is not understood stays in it until it expires")

    async def _poll(self, client: SQSClient) -> None:
        wait, failures = 0, 0
        while not self._stopping.is_set():
            try:
                answer = await client.receive_message(
                    QueueUrl=self._url,
                    MaxNumberOfMessages=BATCH,
                    WaitTimeSeconds=wait,
                    MessageAttributeNames=["All"],
                )
            except FAULTS as error:
                failures += 1
                _log.warning("receive failed: %s", _name(error))
                await self._pause(failures)
                continue
            self.ready, wait, failures = True, self._wait, 0
            if messages := answer.get("Messages"):
                await self._handle(messages)

    async def _handle(self, messages: list[Any]) -> None:
        handles, left = {}, []
        for message in messages:
            try:
                envelope = unwrap(
                    message_id=message["MessageId"], body=message["Body"], attributes=message.get("MessageAttributes")
                )
            except NotUnderstood as error:
                _log.warning("message %s not understood: %s", message["MessageId"], error.reason)
                continue
            handles[envelope.message_id] = message["ReceiptHandle"]
            left.append(envelope)
        self._held.update(handles.values())
        failures = 0
        while left:
            left = await self._answer(left, handles)
            if left:
                failures += 1
                await asyncio.sleep(_backoff(failures, self._retry))

    async def _answer(self, envelopes: list[Envelope], handles: dict[str, str]) -> list[Envelope]:
        """Act on the Handler's outcomes; what is left must be tried again."""
        left = []
        for envelope, outcome in zip(envelopes, await self._handler(envelopes), strict=True):
            handle = handles[envelope.message_id]
            if outcome is Outcome.DONE:
                await self._done.put(handle)
            elif outcome is Outcome.NOT_UNDERSTOOD:
                self._held.discard(handle)
            else:
                left.append(envelope)
        return left

    async def _delete(self, client: SQSClient) -> None:
        """Delete in batches that gather over several receives; a handle that no retry can help comes again."""
        while True:
            batch = [await self._done.get()]
            try:
                async with asyncio.timeout(self._flush):
                    while len(batch) < BATCH:
                        batch.append(await self._done.get())
            except TimeoutError:
                pass
            failures, left = 0, batch
            while left:
                left = await self._delete_batch(client, left)
                if left:
                    failures += 1
                    await asyncio.sleep(_backoff(failures, self._retry))
            self._held.difference_update(batch)
            for _ in batch:
                self._done.task_done()

    async def _delete_batch(self, client: SQSClient, handles: list[str]) -> list[str]:
        entries: list[Any] = [{"Id": str(n), "ReceiptHandle": handle} for n, handle in enumerate(handles)]
        try:
            answer = await client.delete_message_batch(QueueUrl=self._url, Entries=entries)
        except FAULTS as error:
            _log.warning("delete failed: %s", _name(error))
            return handles
        failed = {int(f["Id"]): f for f in answer.get("Failed", [])}
        for failure in failed.values():
            _log.warning("delete of one message failed: %s", failure["Code"])
        return [handles[n] for n, failure in failed.items() if not failure["SenderFault"]]

    async def _extend(self, client: SQSClient) -> None:
        while True:
            await asyncio.sleep(self._visibility / 3)
            held = list(self._held)
            for start in range(0, len(held), BATCH):
                entries: list[Any] = [
                    {"Id": str(n), "ReceiptHandle": handle, "VisibilityTimeout": self._visibility}
                    for n, handle in enumerate(held[start : start + BATCH])
                ]
                try:
                    await client.change_message_visibility_batch(QueueUrl=self._url, Entries=entries)
                except FAULTS as error:
                    _log.warning("extending visibility failed: %s", _name(error))

    async def _pause(self, failures: int) -> None:
        try:
            async with asyncio.timeout(_backoff(failures, self._retry)):
                await self._stopping.wait()
        except TimeoutError:
            pass


def _backoff(failures: int, cap: float) -> float:
    """Seconds: full jitter, doubling from 0.2 to the cap."""
    return random.uniform(0, min(cap, 0.2 * 2 ** min(failures, 20)))  # noqa: S311  spreads load, hides nothing


def _name(error: Exception) -> str:
    """A fault's code or class; its text may quote a request."""
    return str(error.response["Error"].get("Code")) if isinstance(error, ClientError) else type(error).__name__
