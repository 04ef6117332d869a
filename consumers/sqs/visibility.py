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

BATCH = 10
"""SQS's limit for the messages of one receive and for the entries of one batch."""

LONGEST_HOLD = 12 * 3600
"""SQS's limit in seconds, counted from the receive, for which a message can be invisible, extensions included."""

DEFAULT_VISIBILITY = 30
"""SQS's default visibility timeout in seconds, assumed until the queue's own is known."""

_log = logging.getLogger(__name__)


class VisibilityExtender:
    """The heartbeat of messages in progress: extends each one after a third of the visibility timeout."""

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
        self._in_progress: dict[str, _Invisibility] = {}
        self.timeout_seconds = DEFAULT_VISIBILITY
        """How long a receive or an extension hides a message."""

    @property
    def longest_hold_seconds(self) -> float:
        """How long after its receive a message can be held: 12 hours less one visibility timeout.

        SQS refuses an extension that would end after the 12 hours. A timeout of more than 6 hours needs no extension.
        """
        return max(LONGEST_HOLD - self.timeout_seconds, self.timeout_seconds)

    def add(self, handles: Iterable[str]) -> None:
        """Begin to extend messages that were received just now."""
        now = self._clock()
        self._in_progress.update((handle, _Invisibility(now)) for handle in handles)

    def remove(self, handles: Iterable[str]) -> None:
        """Stop extending these; the visibility timeout of what was not deleted runs out."""
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
        oldest_allowed = now - (LONGEST_HOLD - self.timeout_seconds)
        due = [
            handle
            for handle, invisibility in self._in_progress.items()
            if now - invisibility.extended >= self.timeout_seconds / 3 and invisibility.received >= oldest_allowed
        ]
        succeeded = True
        for start in range(0, len(due), BATCH):
            succeeded = await self._extend(due[start : start + BATCH], now) and succeeded
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
            if invisibility := self._in_progress.get(handles[n]):
                invisibility.extended = now
        for code in (*result.refused.values(), *result.retryable.values()):
            self._observer.failed("extend", code)
            _log.warning("the visibility of one message was not extended (%s)", code)
        # SQS hands such a message to another reader, where its event is recognised as a repeat.
        self.remove(handles[n] for n in result.refused)
        return not result.retryable


class _Invisibility:
    """When a message was received, and when its visibility timeout was last set."""

    __slots__ = ("extended", "received")

    def __init__(self, now: float) -> None:
        self.received = self.extended = now
