"""Deletes what is done, in batches that gather over several receives."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from consumers.errors import CallFailed
from consumers.sqs.backoff import backoff
from consumers.sqs.responses import BatchResult, batch_result
from consumers.sqs.visibility import BATCH

if TYPE_CHECKING:
    from types_aiobotocore_sqs import SQSClient

    from consumers.base import Observer
    from consumers.sqs.calls import SQSCalls
    from consumers.sqs.visibility import Holds

MOST_WAITING = 100
"""Handles that may wait: a queue that takes no deletes must stop receives, not fill memory."""

_log = logging.getLogger(__name__)


class Deletes:
    """The receipt handles that wait to be deleted, and who deletes them."""

    def __init__(
        self,
        *,
        calls: SQSCalls,
        queue_url: str,
        observer: Observer,
        holds: Holds,
        flush_seconds: float,
        retry_seconds: float,
    ) -> None:
        """A batch that is not full waits at most ``flush_seconds``."""
        self._calls = calls
        self._url = queue_url
        self._observer = observer
        self._holds = holds
        self._flush = flush_seconds
        self._retry = retry_seconds
        self._waiting: deque[str] = deque()
        self._some = asyncio.Event()
        self._full = asyncio.Event()
        self._room = asyncio.Event()
        self._closed = False
        self._settle()

    async def add(self, handles: Iterable[str]) -> None:
        """Delete these soon; waits while too many are waiting."""
        await self._room.wait()
        self._waiting.extend(handles)
        self._settle()

    def close(self) -> None:
        """Let ``run`` return when all that waits is deleted; nothing may be added any more."""
        self._closed = True
        self._settle()

    async def run(self) -> None:
        """Delete until closed. What fails is tried again, behind what came meanwhile, with back-off."""
        failures = 0
        while await self._gathered():
            batch = [self._waiting.popleft() for _ in range(min(BATCH, len(self._waiting)))]
            again = await self._delete(batch)
            self._waiting.extend(again)
            self._settle()
            failures = 0 if not again else 1 if len(again) < len(batch) else failures + 1
            if failures:
                await asyncio.sleep(backoff(failures, self._retry))

    async def _gathered(self) -> bool:
        """Wait for a full batch, or for as long as an incomplete one may wait; False when closed and empty."""
        await self._some.wait()
        if not self._full.is_set():
            try:
                async with asyncio.timeout(self._flush):
                    await self._full.wait()
            except TimeoutError:
                pass
        return bool(self._waiting)

    async def _delete(self, handles: list[str]) -> list[str]:
        """Delete a batch; gives what is to be tried again."""
        entries: list[Any] = [{"Id": str(n), "ReceiptHandle": handle} for n, handle in enumerate(handles)]

        async def send(client: SQSClient) -> BatchResult:
            return batch_result(await client.delete_message_batch(QueueUrl=self._url, Entries=entries), len(entries))

        try:
            result = await self._calls.call("delete", send)
        except CallFailed:
            return handles
        for code in (*result.refused.values(), *result.again.values()):
            self._observer.failed("delete", code)
            _log.warning("deleting one message failed: %s", code)
        # A handle that is refused is of no use; its message comes again, and its event is known.
        self._holds.release(handles[n] for n in (*result.done, *result.refused))
        if result.done:
            self._observer.deleted(len(result.done))
        return [handles[n] for n in result.again]

    def _settle(self) -> None:
        _set(self._some, bool(self._waiting) or self._closed)
        _set(self._full, len(self._waiting) >= BATCH or self._closed)
        _set(self._room, len(self._waiting) < MOST_WAITING)


def _set(event: asyncio.Event, value: bool) -> None:
    if value:
        event.set()
    else:
        event.clear()
