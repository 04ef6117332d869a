"""Keeps messages invisible to other readers of the queue while this consumer works on them."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

from consumers.errors import CallFailed
from consumers.sqs.backoff import backoff
from consumers.sqs.responses import BatchResult, parse_batch_result

if TYPE_CHECKING:
    from types_aiobotocore_sqs import SQSClient

    from consumers.base import Observer
    from consumers.sqs.shared_client import SharedClient

MAX_BATCH = 10
"""SQS's limit of messages in one receive, and of entries in one batch call."""

LONGEST_HOLD_SECONDS = 12 * 3600
"""Seconds for which SQS lets a message stay invisible after its receive, extensions included."""

DEFAULT_VISIBILITY_SECONDS = 30
"""SQS's default visibility timeout in seconds. It is used until the queue's own is known."""

_log = logging.getLogger(__name__)


class VisibilityExtender:
    """Extends the visibility of each message in progress after a third of the visibility timeout."""

    def __init__(
        self,
        *,
        client: SharedClient,
        queue_url: str,
        observer: Observer,
        retry_seconds: float,
        clock: Callable[[], float],
    ) -> None:
        self._client = client
        self._url = queue_url
        self._observer = observer
        self._retry = retry_seconds
        self._clock = clock
        self._in_progress: dict[str, _Times] = {}
        self.timeout_seconds = DEFAULT_VISIBILITY_SECONDS
        """For how long a receive or an extension hides a message."""

    @property
    def longest_hold_seconds(self) -> float:
        """How long after its receive a message can be held: 12 hours less one visibility timeout.

        SQS refuses an extension that would end after the 12 hours. A timeout of more than 6 hours needs no extension.
        """
        return max(LONGEST_HOLD_SECONDS - self.timeout_seconds, self.timeout_seconds)

    def add(self, handles: Iterable[str]) -> None:
        """Start extending messages that were received just now."""
        now = self._clock()
        self._in_progress.update((handle, _Times(now)) for handle in handles)

    def remove(self, handles: Iterable[str]) -> None:
        """Stop extending these. A message that was not deleted becomes visible when its timeout ends."""
        for handle in handles:
            self._in_progress.pop(handle, None)

    async def run(self) -> None:
        """Extend until cancelled."""
        failures = 0
        while True:
            pause = self.timeout_seconds / 6
            await asyncio.sleep(min(pause, backoff(failures, self._retry)) if failures else pause)
            failures = 0 if await self._extend_due() else failures + 1

    async def _extend_due(self) -> bool:
        now = self._clock()
        oldest_allowed = now - (LONGEST_HOLD_SECONDS - self.timeout_seconds)
        due = [
            handle
            for handle, times in self._in_progress.items()
            if now - times.extended >= self.timeout_seconds / 3 and times.received >= oldest_allowed
        ]
        succeeded = True
        for start in range(0, len(due), MAX_BATCH):
            succeeded = await self._extend(due[start : start + MAX_BATCH], now) and succeeded
        return succeeded

    async def _extend(self, handles: list[str], now: float) -> bool:
        entries: list[Any] = [
            {"Id": str(n), "ReceiptHandle": handle, "VisibilityTimeout": self.timeout_seconds}
            for n, handle in enumerate(handles)
        ]

        async def send(sqs: SQSClient) -> BatchResult:
            answer = await sqs.change_message_visibility_batch(QueueUrl=self._url, Entries=entries)
            return parse_batch_result(answer, len(entries))

        try:
            result = await self._client.call("extend", send)
        except CallFailed:
            return False
        for n in result.succeeded:
            if times := self._in_progress.get(handles[n]):
                times.extended = now
        for code in (*result.refused.values(), *result.retryable.values()):
            self._observer.failed("extend", code)
            _log.warning("the visibility of one message was not extended (%s)", code)
        # SQS delivers such a message again, and its event is recognised as a duplicate.
        self.remove(handles[n] for n in result.refused)
        return not result.retryable


class _Times:
    """When a message was received, and when its visibility timeout was last set."""

    __slots__ = ("extended", "received")

    def __init__(self, now: float) -> None:
        self.received = self.extended = now
