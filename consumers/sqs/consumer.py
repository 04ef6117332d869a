"""Reads one SQS queue: receives, unwraps, calls the Handler, and acts on its answers."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Sequence
from contextlib import AbstractAsyncContextManager
from typing import TYPE_CHECKING

from consumers.base import Outcome
from consumers.envelope import Envelope, unwrap
from consumers.errors import CallFailed, ConsumerReason, NotUnderstood
from consumers.sqs.backoff import backoff
from consumers.sqs.delete_batcher import DeleteBatcher
from consumers.sqs.failures import explain
from consumers.sqs.fast.status import FastPathStatus
from consumers.sqs.queue_attributes import check_queue
from consumers.sqs.responses import ReceivedMessage, parse_messages
from consumers.sqs.shared_client import SharedClient
from consumers.sqs.visibility import MAX_BATCH, VisibilityExtender

if TYPE_CHECKING:
    from types_aiobotocore_sqs import SQSClient
    from types_aiobotocore_sqs.literals import MessageSystemAttributeNameType

    from consumers.base import Handler, Observer

HELD_RETRY_SECONDS = 1.0
"""The longest pause before the Handler is called again with held messages, so that recovery is noticed soon."""

_log = logging.getLogger(__name__)


class SQSConsumer:
    """Reads a standard queue."""

    def __init__(
        self,
        *,
        connect: Callable[[], AbstractAsyncContextManager[SQSClient]],
        queue_url: str,
        handler: Handler,
        observer: Observer,
        dedupe_seconds: float,
        queue_setting: str = "queue_url",
        pollers: int = 2,
        wait_seconds: int = 20,
        retry_seconds: float = 20,
        flush_seconds: float = 0.1,
        fast_path: bool = True,
        trace_header: bool = False,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Raises ValueError for a FIFO queue: parallel polls would break its order.

        - ``connect`` opens a client with a new session. It is called again when AWS refuses the credentials.
        - ``dedupe_seconds`` is how long the Handler recognises a repeated message. A warning is
          logged if the queue may redeliver for longer.
        - ``queue_setting`` is the name of the operator's setting for ``queue_url``, for log lines and ``trouble``.
        - ``pollers`` is the maximum number of parallel receives. An idle queue has one: empty receives cost money.
        - ``wait_seconds`` is the length of a long poll, at most 20 (SQS's limit).
        - ``retry_seconds`` is the longest pause between two attempts.
        - ``flush_seconds`` is how long an incomplete batch of deletes waits for more.
        - ``fast_path`` allows the cheaper calls of ``consumers.sqs.fast``.
        - ``trace_header`` asks SQS for each message's ``AWSTraceHeader``.
        - ``clock`` measures how long messages are held.
        """
        if queue_url.endswith(".fifo"):
            raise ValueError("a FIFO queue is not supported")
        self._url = queue_url
        self._queue_setting = queue_setting
        self._handler = handler
        self._observer = observer
        self._dedupe = dedupe_seconds
        self._max_pollers = pollers
        self._wait = wait_seconds
        self._retry = retry_seconds
        self._clock = clock
        self._system_attributes: list[MessageSystemAttributeNameType] = ["SentTimestamp"]
        if trace_header:
            self._system_attributes.append("AWSTraceHeader")
        self._pollers = 0
        self._stopping = asyncio.Event()
        self.fast_path = FastPathStatus(enabled=fast_path)
        """Whether receives and deletes take the fast path."""
        self.trouble: str | None = "the queue has not been read yet"
        """What is wrong with the queue, in plain words without secrets; None after a successful receive."""
        self._client = SharedClient(
            connect=connect,
            observer=observer,
            retry_seconds=retry_seconds,
            fast_path=self.fast_path,
            queue_setting=queue_setting,
        )
        self._extender = VisibilityExtender(
            client=self._client, queue_url=queue_url, observer=observer, retry_seconds=retry_seconds, clock=clock
        )
        self._deletes = DeleteBatcher(
            client=self._client,
            queue_url=queue_url,
            observer=observer,
            extender=self._extender,
            flush_seconds=flush_seconds,
            retry_seconds=retry_seconds,
        )

    def stop(self) -> None:
        """Start no further receive."""
        self._stopping.set()

    async def run(self) -> None:
        """Read until stopped. Call it once.

        It does not return while the Handler answers NOT_NOW. Cancelling it is safe: undeleted messages come again
        after their visibility timeout.
        """
        try:
            async with asyncio.TaskGroup() as outer:
                connection = outer.create_task(self._client.run())
                try:
                    await self._read()
                finally:
                    connection.cancel()
        except BaseExceptionGroup as group:
            raise _without_groups(group) from None

    async def _read(self) -> None:
        failures = 0
        while not self._stopping.is_set():
            try:
                self._extender.timeout_seconds = await check_queue(
                    client=self._client, queue_url=self._url, dedupe_seconds=self._dedupe
                )
                break
            except CallFailed as error:
                failures += 1
                await self._pause(error, failures)
        async with asyncio.TaskGroup() as tasks:
            extending = tasks.create_task(self._extender.run())
            deleting = tasks.create_task(self._deletes.run())
            # The first receive does not wait: with an idle queue the task would be unready for a whole long poll.
            async with asyncio.TaskGroup() as polling:
                self._start_poller(polling, wait=0)
            self._deletes.close()
            await asyncio.wait([deleting])
            extending.cancel()

    def _start_poller(self, polling: asyncio.TaskGroup, wait: int) -> None:
        self._pollers += 1
        polling.create_task(self._poll(polling, wait))

    async def _poll(self, polling: asyncio.TaskGroup, wait: int) -> None:
        """Receive until stopped, or until the queue has nothing for a second poller.

        A full receive means that more messages are waiting, so another poller is started, up to the limit. An empty
        receive ends its poller, unless it is the last one.
        """
        failures = 0
        while not self._stopping.is_set():
            try:
                received, malformed = await self._receive(wait)
            except CallFailed as error:
                failures += 1
                await self._pause(error, failures)
                continue
            self.trouble, wait, failures = None, self._wait, 0
            self._observer.received(len(received))
            for _ in range(malformed):
                self._observer.failed("receive", "MalformedMessage")
                _log.warning(
                    "a message without an id, a receipt handle or a body was received; it is left in the queue"
                )
            found = len(received) + malformed
            if found == MAX_BATCH and self._pollers < self._max_pollers and not self._stopping.is_set():
                self._start_poller(polling, self._wait)
            if received:
                await self._handle(received)
            elif not found and self._pollers > 1:
                break
        self._pollers -= 1

    async def _receive(self, wait: int) -> tuple[list[ReceivedMessage], int]:
        async def send(sqs: SQSClient) -> tuple[list[ReceivedMessage], int]:
            answer = await sqs.receive_message(
                QueueUrl=self._url,
                MaxNumberOfMessages=MAX_BATCH,
                WaitTimeSeconds=wait,
                MessageAttributeNames=["All"],
                MessageSystemAttributeNames=self._system_attributes,
            )
            return parse_messages(answer)

        return await self._client.call("receive", send)

    async def _handle(self, received: Sequence[ReceivedMessage]) -> None:
        """Call the Handler until every message is done, rejected, or held for as long as SQS allows."""
        held = self._unwrap(received)
        self._extender.add(handle for _, handle in held)
        deadline = self._clock() + self._extender.longest_hold_seconds
        failures = 0
        while held:
            held = await self._call_handler(held)
            if not held:
                return
            failures += 1
            await asyncio.sleep(backoff(failures, min(self._retry, HELD_RETRY_SECONDS)))
            if self._clock() > deadline:
                self._give_up(held)
                return

    def _unwrap(self, received: Sequence[ReceivedMessage]) -> list[tuple[Envelope, str]]:
        """Return the Envelopes with their receipt handles. A message without one is left to the redrive policy."""
        unwrapped = []
        for message in received:
            _log.debug("message %s received", message.message_id)
            try:
                envelope = unwrap(
                    message_id=message.message_id,
                    body=message.body,
                    attributes=message.attributes,
                    sent_ms=message.sent_ms,
                    trace=message.trace,
                )
            except NotUnderstood as error:
                self._observer.rejected(error.reason)
                _log.warning("message %s was not understood (%s)", message.message_id, error)
                continue
            unwrapped.append((envelope, message.handle))
        return unwrapped

    async def _call_handler(self, held: list[tuple[Envelope, str]]) -> list[tuple[Envelope, str]]:
        """Act on the Handler's outcomes, and return the messages for which it must be called again."""
        done, not_now = [], []
        outcomes = await self._handler([envelope for envelope, _ in held])
        for pair, outcome in zip(held, outcomes, strict=True):
            if outcome is Outcome.DONE:
                done.append(pair[1])
            elif outcome is Outcome.NOT_UNDERSTOOD:
                self._extender.remove([pair[1]])
            else:
                not_now.append(pair)
        if done:
            await self._deletes.add(done)
        return not_now

    def _give_up(self, held: list[tuple[Envelope, str]]) -> None:
        self._extender.remove(handle for _, handle in held)
        for envelope, _ in held:
            self._observer.rejected(ConsumerReason.HELD_TOO_LONG)
            _log.warning(
                "message %s was held for as long as SQS allows, and is left to the redrive policy", envelope.message_id
            )

    async def _pause(self, error: CallFailed, failures: int) -> None:
        """Set ``trouble``, and wait before the next attempt."""
        self.trouble = explain(error.code, queue_setting=self._queue_setting).trouble
        try:
            async with asyncio.timeout(backoff(failures, self._retry)):
                await self._stopping.wait()
        except TimeoutError:
            pass


def _without_groups(error: BaseException) -> BaseException:
    """Return the one exception inside nested groups, or the group that holds several."""
    while isinstance(error, BaseExceptionGroup) and len(error.exceptions) == 1:
        error = error.exceptions[0]
    return error
