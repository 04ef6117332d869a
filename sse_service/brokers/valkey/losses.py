"""Which live messages may have been lost: at most once is all that Valkey's pub/sub promises."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sse_service.brokers.base import OnLost
    from sse_service.telemetry.metrics import Metrics

_ABOVE_ALL = 2**63

_log = logging.getLogger(__name__)


class LossDetector:
    """Knows up to which offset each subscribed channel is complete, and reports when one may not be.

    Each message carries the offset of its channel's previous event: if that did not come, something was lost. A loss
    that no message follows is found by the probes, which compare every channel with the store.
    """

    def __init__(self, *, on_lost: OnLost, metrics: Metrics) -> None:
        self._on_lost = on_lost
        self._metrics = metrics
        # Channel -> offset up to which all its events came. None until its History was read.
        self._offsets: dict[str, int | None] = {}
        self.epoch = ""
        """The store's epoch, as far as this task has heard."""
        self.complete = 0
        """Offset up to which the store has confirmed that nothing of any channel is missing."""

    def watch(self, channel: str) -> None:
        """Begin with a channel; its losses count from when its History is read."""
        self._offsets[channel] = None

    def forget(self, channel: str) -> None:
        """End with a channel. Idempotent."""
        self._offsets.pop(channel, None)

    def history_read(self, channels: Sequence[str], lasts: Sequence[int]) -> None:
        """Take each channel's last offset, which was read from the store together with its History."""
        for channel, last in zip(channels, lasts, strict=True):
            if self._offsets.get(channel, last) is None:
                self._offsets[channel] = last

    def received(self, channel: str, *, previous: int, offset: int) -> None:
        """Take note of a message, and report a loss if the one before it did not come."""
        if channel not in self._offsets:
            return
        last = self._offsets[channel]
        if last is not None and previous > last:
            self._report_missing()
            last = None
        self._offsets[channel] = offset if last is None or last < offset else last

    def compare(self, channels: Sequence[str], lasts: Sequence[int]) -> None:
        """Report a loss if a channel's last offset, read before a probe that has arrived, did not come."""
        for channel, last in zip(channels, lasts, strict=True):
            known = self._offsets.get(channel)
            if known is not None and last > known:
                self._report_missing()
                return

    def begin_epoch(self, epoch: str) -> None:
        """If the store has begun another epoch, report a loss: offsets of the earlier one prove nothing now."""
        if epoch != self.epoch:
            self.epoch = epoch
            self.report()
            self.complete = 0

    def report(self) -> None:
        """Report that messages of any channel may have been lost."""
        # No stream of a channel whose History was not read is live yet: it reads everything anyway.
        complete = {
            channel: _ABOVE_ALL if offset is None else max(offset, self.complete)
            for channel, offset in self._offsets.items()
        }
        self._offsets = dict.fromkeys(self._offsets)
        self._on_lost(complete)

    def _report_missing(self) -> None:
        """Report all channels: whatever lost one message may have lost messages of the others."""
        self._metrics.broker_jumps.inc()
        _log.warning("a message from Valkey was lost; the streams read on from history")
        self.report()
