"""Detects lost live messages. Valkey's pub/sub delivers at most once."""

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
    """Tracks the offset up to which each subscribed channel is complete, and reports possible losses.

    Each message carries the offset of the previous event of its channel. If that event did not arrive, something was
    lost. If no message follows a loss, the probes find it: they compare every channel with the store.
    """

    def __init__(self, *, on_lost: OnLost, metrics: Metrics) -> None:
        self._on_lost = on_lost
        self._metrics = metrics
        # Channel -> offset up to which all its events have arrived. None until its History was read.
        self._offsets: dict[str, int | None] = {}
        self.epoch = ""
        """The store's epoch, as last seen by this task."""
        self.complete = 0
        """Offset up to which a comparison with the store found nothing missing in any channel."""

    def watch(self, channel: str) -> None:
        """Begin to track a channel. Losses count from the first read of its History."""
        self._offsets[channel] = None

    def forget(self, channel: str) -> None:
        """Stop tracking a channel. Idempotent."""
        self._offsets.pop(channel, None)

    def history_read(self, channels: Sequence[str], lasts: Sequence[int]) -> None:
        """Note the last offset of each channel, as read from the store together with its History."""
        for channel, last in zip(channels, lasts, strict=True):
            if self._offsets.get(channel, last) is None:
                self._offsets[channel] = last

    def received(self, channel: str, *, previous: int, offset: int) -> bool:
        """Note a message. Returns False, and notes nothing, if the previous message of its channel did not arrive.

        The caller then passes on what came before, calls ``report_missing``, and notes the message again.
        """
        last = self._offsets.get(channel)
        if last is None:
            if channel in self._offsets:
                self._offsets[channel] = offset
        elif previous > last:
            return False
        elif last < offset:
            self._offsets[channel] = offset
        return True

    def compare(self, channels: Sequence[str], lasts: Sequence[int]) -> None:
        """Report a loss if the store had a later event in any channel.

        ``lasts`` are the channels' last offsets in the store, read before a probe that has arrived since.
        """
        for channel, last in zip(channels, lasts, strict=True):
            known = self._offsets.get(channel)
            if known is not None and last > known:
                self.report_missing()
                return

    def begin_epoch(self, epoch: str) -> None:
        """If this is another epoch, report a possible loss: offsets of the earlier one prove nothing now."""
        if epoch != self.epoch:
            self.epoch = epoch
            self.report()
            self.complete = 0

    def report(self) -> None:
        """Report that messages of any channel may have been lost."""
        # While the History of a channel was not read, none of its streams is live, and they read everything anyway.
        complete = {
            channel: _ABOVE_ALL if offset is None else max(offset, self.complete)
            for channel, offset in self._offsets.items()
        }
        self._offsets = dict.fromkeys(self._offsets)
        self._on_lost(complete)

    def report_missing(self) -> None:
        """Report all channels: the fault that lost one message may have lost messages of other channels."""
        self._metrics.broker_jumps.inc()
        _log.warning("a message from Valkey was lost; the streams continue from history")
        self.report()
