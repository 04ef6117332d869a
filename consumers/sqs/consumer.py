"""Reads one SQS queue by long polls, as many side by side as its backlog asks for.

Deletes what is done, holds what cannot be stored yet.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Sequence
from contextlib import AbstractAsyncContextManager
from typing import TYPE_CHECKING

from consumers.base import Outcome
from consumers.envelope import Envelope, unwrap
from consumers.errors import CallFailed, NotUnderstood
from consumers.sqs.backoff import backoff
from consumers.sqs.calls import FAULTS, SQSCalls
from consumers.sqs.deletes import Deletes
from consumers.sqs.queue import ask_queue
from consumers.sqs.responses import Received, messages
from consumers.sqs.visibility import BATCH, Holds

if TYPE_CHECKING:
    from types_aiobotocore_sqs import SQSClient

    from consumers.base import Handler, Observer

__all__ = ["FAULTS", "SQSConsumer"]

HOLD_RETRY_SECONDS = 1.0
"""At most between two tries to hand over what is held: what was away must be noticed soon when it is back."""

_log = logging.getLogger(__name__)


class SQSConsumer:
    """A Consumer of a standard queue."""

    def __init__(
        self,
        *,
        connect: Callable[[], AbstractAsyncContextManager[SQSClient]],
        queue_url: str,
        handler: Handler,
        observer: Observer,
        dedupe_seconds: float,
        pollers: int = 2,
        wait_seconds: int = 20,
        retry_seconds: float = 20,
        flush_seconds: float = 0.1,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Raises ValueError for a FIFO queue: its order by group is not kept by polls side by side.

        ``connect`` makes a client of a new session, and is called again when credentials are refused.
        ``dedupe_seconds`` is how long a repeated message is known; a queue that may redeliver for longer is warned of.
        ``pollers`` is how many receives may be open at once; an idle queue has one, for empty ones cost money.
        ``wait_seconds`` is a long poll's length, at most SQS's 20; ``retry_seconds`` caps every back-off;
        ``flush_seconds`` is how long an incomplete batch of deletes gathers. ``clock`` measures in seconds how long
        messages are held.
        """
        if queue_url.endswith(".fifo"):
            raise ValueError("a FIFO queue is not supported")
        self._url = queue_url
        self._handler = handler
        self._observer = observer
        self._dedupe = dedupe_seconds
        self._pollers = pollers
        self._wait = wait_seconds
        self._retry = retry_seconds
        self._clock = clock
        self._polling = 0
        self._stopping = asyncio.Event()
        self._calls = SQSCalls(connect=connect, observer=observer, retry_seconds=retry_seconds)
        self._holds = Holds(
            calls=self._calls, queue_url=queue_url, observer=observer, retry_seconds=retry_seconds, clock=clock
        )
        self._deletes = Deletes(
            calls=self._calls,
            queue_url=queue_url,
            observer=observer,
            holds=self._holds,
            flush_seconds=flush_seconds,
            retry_seconds=retry_seconds,
        )
        self.ready = False
        """Whether the last receive that was answered, or failed, succeeded."""

    def stop(self) -> None:
        """Begin no further receive."""
        self._stopping.set()

    async def run(self) -> None:
        """Read until stopped; to be called once.

        What the Handler answers NOT_NOW keeps it from returning. Cancelling is safe: what is held comes again after
        the visibility timeout.
        """
        try:
            async with asyncio.TaskGroup() as outer:
                connection = outer.create_task(self._calls.run())
                try:
                    await self._read()
                finally:
                    connection.cancel()
        except BaseExceptionGroup as group:
            raise _only(group) from None

    async def _read(self) -> None:
        failures = 0
        while not self._stopping.is_set():
            try:
                self._holds.visibility = await ask_queue(
                    calls=self._calls, queue_url=self._url, dedupe_seconds=self._dedupe
                )
                break
            except CallFailed:
                failures += 1
                await self._pause(failures)
        async with asyncio.TaskGroup() as tasks:
            extending = tasks.create_task(self._holds.run())
            deleting = tasks.create_task(self._deletes.run())
            # The first receive does not wait, or an idle queue would keep the task unready for a long poll's length.
            async with asyncio.TaskGroup() as polling:
                self._begin_poll(polling, wait=0)
            self._deletes.close()
            await asyncio.wait([deleting])
            extending.cancel()

    def _begin_poll(self, polling: asyncio.TaskGroup, wait: int) -> None:
        self._polling += 1
        polling.create_task(self._poll(polling, wait))

    async def _poll(self, polling: asyncio.TaskGroup, wait: int) -> None:
        """Receive until stopped, or until there is nothing for more than one poller.

        A full receive means that more is waiting: it begins the next poller, up to the bound. An empty one ends its
        own, unless it is the last.
        """
        failures = 0
        while not self._stopping.is_set():
            try:
                received, malformed = await self._receive(wait)
            except CallFailed:
                self.ready = False
                failures += 1
                await self._pause(failures)
                continue
            self.ready, wait, failures = True, self._wait, 0
            self._observer.received(len(received))
            for _ in range(malformed):
                self._observer.failed("receive", "MalformedMessage")
                _log.warning("a receive brought a message without id, handle or body")
            found = len(received) + malformed
            if found == BATCH and self._polling < self._pollers and not self._stopping.is_set():
                self._begin_poll(polling, self._wait)
            if received:
                await self._handle(received)
            elif not found and self._polling > 1:
                break
        self._polling -= 1

    async def _receive(self, wait: int) -> tuple[list[Received], int]:
        async def send(client: SQSClient) -> tuple[list[Received], int]:
            answer = await client.receive_message(
                QueueUrl=self._url,
                MaxNumberOfMessages=BATCH,
                WaitTimeSeconds=wait,
                MessageAttributeNames=["All"],
                MessageSystemAttributeNames=["SentTimestamp"],
            )
            return messages(answer)

        return await self._calls.call("receive", send)

    async def _handle(self, received: Sequence[Received]) -> None:
        """Call the Handler until each message is done, not understood, or held for as long as SQS allows."""
        left = self._unwrap(received)
        self._holds.hold(handle for _, handle in left)
        until = self._clock() + self._holds.longest
        failures = 0
        while left:
            left = await self._answer(left)
            if not left:
                return
            failures += 1
            await asyncio.sleep(backoff(failures, min(self._retry, HOLD_RETRY_SECONDS)))
            if self._clock() > until:
                self._let_go(left)
                return

    def _unwrap(self, received: Sequence[Received]) -> list[tuple[Envelope, str]]:
        """The Envelopes, each with its receipt handle; what is not understood is left to the redrive policy."""
        unwrapped = []
        for message in received:
            _log.debug("message %s received", message.message_id)
            try:
                envelope = unwrap(
                    message_id=message.message_id,
                    body=message.body,
                    attributes=message.attributes,
                    sent_ms=message.sent_ms,
                )
            except NotUnderstood as error:
                self._observer.rejected(error.reason)
                _log.warning("message %s not understood: %s", message.message_id, error.reason)
                continue
            unwrapped.append((envelope, message.handle))
        return unwrapped

    async def _answer(self, pairs: list[tuple[Envelope, str]]) -> list[tuple[Envelope, str]]:
        """Act on the Handler's outcomes; what is left must be tried again."""
        done, left = [], []
        outcomes = await self._handler([envelope for envelope, _ in pairs])
        for pair, outcome in zip(pairs, outcomes, strict=True):
            if outcome is Outcome.DONE:
                done.append(pair[1])
            elif outcome is Outcome.NOT_UNDERSTOOD:
                self._holds.release([pair[1]])
            else:
                left.append(pair)
        if done:
            await self._deletes.add(done)
        return left

    def _let_go(self, pairs: list[tuple[Envelope, str]]) -> None:
        self._holds.release(handle for _, handle in pairs)
        for envelope, _ in pairs:
            self._observer.rejected("held_too_long")
            _log.warning("message %s held too long, left to the queue", envelope.message_id)

    async def _pause(self, failures: int) -> None:
        try:
            async with asyncio.timeout(backoff(failures, self._retry)):
                await self._stopping.wait()
        except TimeoutError:
            pass


def _only(error: BaseException) -> BaseException:
    """What the task groups wrapped, where it is one."""
    while isinstance(error, BaseExceptionGroup) and len(error.exceptions) == 1:
        error = error.exceptions[0]
    return error
