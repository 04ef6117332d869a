"""Keeps the messages in hand invisible to other readers of the queue."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

from consumers.errors import CallFailed
from consumers.sqs.backoff import backoff
from consumers.sqs.responses import BatchResult, batch_result

if TYPE_CHECKING:
    from types_aiobotocore_sqs import SQSClient

    from consumers.base import Observer
    from consumers.sqs.calls import SQSCalls

BATCH = 10
"""Messages of one receive, or entries of one batch (SQS's limit)."""

LONGEST_HOLD = 12 * 3600
"""Seconds from its receive that SQS lets a message be invisible, extensions included."""

ASSUMED_VISIBILITY = 30
"""Seconds of invisibility where the queue may not be asked: its own default, and SQS's."""

_log = logging.getLogger(__name__)


class Holds:
    """Extends the visibility of every message in hand at a third of its timeout."""

    def __init__(
        self,
        *,
        calls: SQSCalls,
        queue_url: str,
        observer: Observer,
        retry_seconds: float,
        clock: Callable[[], float],
    ) -> None:
        self._calls = calls
        self._url = queue_url
        self._observer = observer
        self._retry = retry_seconds
        self._clock = clock
        self._held: dict[str, _Hold] = {}
        self.visibility = ASSUMED_VISIBILITY
        """Seconds that a receive or an extension hides a message."""

    @property
    def longest(self) -> float:
        """Seconds from its receive that a message can be held: 12 hours less a visibility timeout.

        Later an extension would pass the 12 hours. A timeout of more than half of them needs no extension.
        """
        return max(LONGEST_HOLD - self.visibility, self.visibility)

    def hold(self, handles: Iterable[str]) -> None:
        """Extend these from now on; they were received just now."""
        now = self._clock()
        self._held.update((handle, _Hold(now)) for handle in handles)

    def release(self, handles: Iterable[str]) -> None:
        """Let the visibility of these run out."""
        for handle in handles:
            self._held.pop(handle, None)

    async def run(self) -> None:
        """Extend until cancelled."""
        failures = 0
        while True:
            pause = self.visibility / 6
            await asyncio.sleep(min(pause, backoff(failures, self._retry)) if failures else pause)
            failures = 0 if await self._extend_due() else failures + 1

    async def _extend_due(self) -> bool:
        now = self._clock()
        last_chance = now - (LONGEST_HOLD - self.visibility)
        due = [
            handle
            for handle, hold in self._held.items()
            if now - hold.extended >= self.visibility / 3 and hold.received >= last_chance
        ]
        good = True
        for start in range(0, len(due), BATCH):
            good = await self._extend(due[start : start + BATCH], now) and good
        return good

    async def _extend(self, handles: list[str], now: float) -> bool:
        entries: list[Any] = [
            {"Id": str(n), "ReceiptHandle": handle, "VisibilityTimeout": self.visibility}
            for n, handle in enumerate(handles)
        ]

        async def send(client: SQSClient) -> BatchResult:
            answer = await client.change_message_visibility_batch(QueueUrl=self._url, Entries=entries)
            return batch_result(answer, len(entries))

        try:
            result = await self._calls.call("extend", send)
        except CallFailed:
            return False
        for n in result.done:
            if hold := self._held.get(handles[n]):
                hold.extended = now
        for code in (*result.refused.values(), *result.again.values()):
            self._observer.failed("extend", code)
            _log.warning("extending one message failed: %s", code)
        # What is gone from our hands comes to somebody else; its event is the same there.
        self.release(handles[n] for n in result.refused)
        return not result.again


class _Hold:
    """When a message was received, and when its visibility was last set."""

    __slots__ = ("extended", "received")

    def __init__(self, now: float) -> None:
        self.received = self.extended = now
