"""Deletes handled messages, in batches that may span several receives."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from consumers.errors import CallFailed
from consumers.sqs.backoff import backoff
from consumers.sqs.responses import BatchResult, parse_batch_result
from consumers.sqs.visibility import MAX_BATCH

if TYPE_CHECKING:
    from types_aiobotocore_sqs import SQSClient

    from consumers.base import Observer
    from consumers.sqs.shared_client import SharedClient
    from consumers.sqs.visibility import VisibilityExtender

MAX_PENDING = 100
"""Limit of pending receipt handles. If deletes fail, receiving stops before the handles fill the memory."""

_log = logging.getLogger(__name__)


class DeleteBatcher:
    """Collects receipt handles and deletes their messages in batches of up to ten."""

    def __init__(
        self,
        *,
        client: SharedClient,
        queue_url: str,
        observer: Observer,
        extender: VisibilityExtender,
        flush_seconds: float,
        retry_seconds: float,
    ) -> None:
        """An incomplete batch waits for at most ``flush_seconds``."""
        self._client = client
        self._url = queue_url
        self._observer = observer
        self._extender = extender
        self._flush = flush_seconds
        self._retry = retry_seconds
        self._pending: deque[str] = deque()
        self._has_pending = asyncio.Event()
        self._has_full_batch = asyncio.Event()
        self._has_room = asyncio.Event()
        self._closed = False
        self._update_events()

    async def add(self, handles: Iterable[str]) -> None:
        """Delete these messages soon; waits while MAX_PENDING handles are pending."""
        await self._has_room.wait()
        self._pending.extend(handles)
        self._update_events()

    def close(self) -> None:
        """Let ``run`` return once everything pending is deleted. Nothing may be added after this."""
        self._closed = True
        self._update_events()

    async def run(self) -> None:
        """Delete until closed. A failed delete goes to the end of the queue and is retried with back-off."""
        failures = 0
        while await self._wait_for_batch():
            batch = [self._pending.popleft() for _ in range(min(MAX_BATCH, len(self._pending)))]
            retry = await self._delete(batch)
            self._pending.extend(retry)
            self._update_events()
            failures = 0 if not retry else 1 if len(retry) < len(batch) else failures + 1
            if failures:
                await asyncio.sleep(backoff(failures, self._retry))

    async def _wait_for_batch(self) -> bool:
        """Wait for a full batch, or ``flush_seconds`` after the first handle. Return False when closed and empty."""
        await self._has_pending.wait()
        if not self._has_full_batch.is_set():
            try:
                async with asyncio.timeout(self._flush):
                    await self._has_full_batch.wait()
            except TimeoutError:
                pass
        return bool(self._pending)

    async def _delete(self, handles: list[str]) -> list[str]:
        """Delete a batch, and return the handles to retry."""
        entries: list[Any] = [{"Id": str(n), "ReceiptHandle": handle} for n, handle in enumerate(handles)]

        async def send(sqs: SQSClient) -> BatchResult:
            answer = await sqs.delete_message_batch(QueueUrl=self._url, Entries=entries)
            return parse_batch_result(answer, len(entries))

        try:
            result = await self._client.call("delete", send)
        except CallFailed:
            return handles
        for code in (*result.refused.values(), *result.retryable.values()):
            self._observer.failed("delete", code)
            _log.warning("one message was not deleted (%s)", code)
        # A refused handle is useless. SQS delivers its message again, and its event is recognised as a duplicate.
        self._extender.remove(handles[n] for n in (*result.succeeded, *result.refused))
        if result.succeeded:
            self._observer.deleted(len(result.succeeded))
        return [handles[n] for n in result.retryable]

    def _update_events(self) -> None:
        _set(self._has_pending, bool(self._pending) or self._closed)
        _set(self._has_full_batch, len(self._pending) >= MAX_BATCH or self._closed)
        _set(self._has_room, len(self._pending) < MAX_PENDING)


def _set(event: asyncio.Event, value: bool) -> None:
    if value:
        event.set()
    else:
        event.clear()
