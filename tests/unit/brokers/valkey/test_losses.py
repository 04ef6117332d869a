"""A lost message is reported for all channels, each with the offset up to which it is complete."""

from __future__ import annotations

from collections.abc import Mapping

from sse_service.brokers.valkey.losses import LossDetector
from sse_service.telemetry.metrics import Metrics

ABOVE_ALL = 2**63


class WatchedChannels:
    """A loss detector that watches two channels, with its reports."""

    def __init__(self) -> None:
        self.reports: list[Mapping[str, int]] = []
        self.metrics = Metrics()
        self.losses = LossDetector(on_lost=self.reports.append, metrics=self.metrics)
        self.losses.begin_epoch("life")
        for channel in ("user:1", "user:2"):
            self.losses.watch(channel)
        self.reports.clear()

    def receive(self, channel: str, *, previous: int, offset: int) -> None:
        """Do what the listener does."""
        if not self.losses.received(channel, previous=previous, offset=offset):
            self.losses.report_missing()
            assert self.losses.received(channel, previous=previous, offset=offset)

    @property
    def counted(self) -> bool:
        return "sse_broker_jumps_total 1.0" in self.metrics.render().decode()


def test_consecutive_messages_are_no_loss() -> None:
    detector = WatchedChannels()
    detector.losses.history_read(["user:1"], [3])
    detector.receive("user:1", previous=3, offset=5)
    detector.receive("user:1", previous=5, offset=9)
    assert detector.reports == []


def test_a_missing_previous_message_is_a_loss() -> None:
    detector = WatchedChannels()
    detector.losses.history_read(["user:1", "user:2"], [3, 4])
    detector.receive("user:1", previous=5, offset=9)
    assert detector.reports == [{"user:1": 3, "user:2": 4}]
    assert detector.counted
    detector.receive("user:1", previous=9, offset=10)
    assert len(detector.reports) == 1


def test_a_message_after_a_missing_one_is_not_noted_before_the_loss_is_reported() -> None:
    detector = WatchedChannels()
    detector.losses.history_read(["user:1", "user:2"], [3, 4])
    assert not detector.losses.received("user:1", previous=5, offset=9)
    detector.losses.report()
    assert detector.reports == [{"user:1": 3, "user:2": 4}]


def test_a_channel_has_no_losses_before_its_history_is_read() -> None:
    detector = WatchedChannels()
    detector.receive("user:1", previous=5, offset=9)
    detector.losses.compare(["user:2"], [7])
    assert detector.reports == []
    detector.losses.report()
    assert detector.reports == [{"user:1": 9, "user:2": ABOVE_ALL}]


def test_reading_history_again_does_not_hide_a_loss() -> None:
    detector = WatchedChannels()
    detector.losses.history_read(["user:1"], [3])
    detector.losses.history_read(["user:1"], [5])
    detector.receive("user:1", previous=5, offset=9)
    assert detector.reports == [{"user:1": 3, "user:2": ABOVE_ALL}]


def test_a_later_event_in_the_store_is_a_loss() -> None:
    detector = WatchedChannels()
    detector.losses.history_read(["user:1", "user:2"], [3, 4])
    detector.losses.compare(["user:1", "user:2"], [3, 4])
    assert detector.reports == []
    detector.losses.compare(["user:1", "user:2"], [3, 5])
    assert detector.reports == [{"user:1": 3, "user:2": 4}]


def test_an_offset_confirmed_by_the_store_is_complete_in_every_channel() -> None:
    detector = WatchedChannels()
    detector.losses.history_read(["user:1", "user:2"], [3, 9])
    detector.losses.complete = 6
    detector.losses.report()
    assert detector.reports == [{"user:1": 6, "user:2": 9}]


def test_a_new_epoch_is_reported_once_and_resets_the_confirmed_offset() -> None:
    detector = WatchedChannels()
    detector.losses.history_read(["user:1", "user:2"], [3, 3])
    detector.losses.complete = 6
    detector.losses.begin_epoch("next life")
    detector.losses.begin_epoch("next life")
    assert detector.reports == [{"user:1": 6, "user:2": 6}]
    assert detector.losses.complete == 0


def test_a_forgotten_channel_is_not_reported() -> None:
    detector = WatchedChannels()
    detector.losses.forget("user:1")
    detector.losses.forget("user:1")
    detector.receive("user:1", previous=5, offset=9)
    detector.losses.report()
    assert detector.reports == [{"user:2": ABOVE_ALL}]
