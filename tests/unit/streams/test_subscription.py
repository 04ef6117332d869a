"""A Subscription writes each event once and in order, and its queue is bounded."""

from __future__ import annotations

import math

import pytest

from sse_service.brokers.base import PossibleLoss
from sse_service.model.cursor import Cursor
from sse_service.model.events import Event
from sse_service.model.principal import Principal
from sse_service.model.reasons import CloseReason
from sse_service.streams.backlog import QueueLimits
from sse_service.streams.filter import Filter
from sse_service.streams.frame import Frame, make_frame
from sse_service.streams.start import Start
from sse_service.streams.subscription import Subscription
from tests.unit.sinks import MemorySink


class Client:
    """A Subscription and its Sink. It is live at offset 0."""

    def __init__(self, *, wanted: Filter | None = None, limits: QueueLimits | None = None) -> None:
        self.sink = MemorySink()
        self.behind: list[Subscription] = []
        self.subscription = Subscription(
            sink=self.sink,
            principal=Principal("1", (), 0),
            channels=["user:1"],
            start=Start(),
            filter=wanted,
            limits=limits or QueueLimits(),
            on_behind=self.behind.append,
            opened_at=0,
            ends_at=math.inf,
        )
        self.subscription.replay_from(Cursor("life", 0))
        assert self.subscription.go_live(Cursor("life", 0))

    def offer(self, *offsets: int, size: int = 1) -> None:
        for offset in offsets:
            self.subscription.offer(frame(offset, size=size))


def frame(offset: int, *, kind: str | None = None, subject: str | None = None, size: int = 1) -> Frame:
    event = Event(str(offset), str(offset) + "x" * (size - 1), kind, subject)
    return make_frame(event, Cursor("life", offset))


def test_a_live_frame_is_written_immediately() -> None:
    client = Client()
    client.offer(1, 2)
    assert client.sink.data == ["1", "2"]
    assert client.subscription.last_id == 2


def test_a_frame_that_is_offered_twice_is_written_once() -> None:
    client = Client()
    client.offer(1, 2)
    client.subscription._live_from = 2
    client.offer(2)
    assert client.sink.data == ["1", "2"]
    assert client.behind == []


def test_a_lower_offset_makes_the_stream_fall_behind() -> None:
    client = Client()
    client.offer(5, 3)
    assert not client.subscription.live
    assert client.behind == [client.subscription]


def test_frames_are_queued_in_order_while_the_sink_holds_back() -> None:
    client = Client()
    client.sink.room = 1
    client.offer(1, 2, 3)
    assert client.sink.data == ["1"]
    assert client.subscription.last_id == 1
    client.sink.make_room()
    client.offer(4)
    assert client.sink.data == ["1", "2", "3", "4"]


def test_a_sink_that_holds_back_again_gets_the_rest_when_it_is_writable() -> None:
    client = Client()
    client.sink.room = 1
    client.offer(1, 2, 3)
    client.sink.make_room(1)
    assert client.sink.data == ["1", "2"]
    client.sink.make_room(1)
    assert client.sink.data == ["1", "2", "3"]


def test_a_full_queue_is_written_before_the_stream_reads_from_history() -> None:
    client = Client(limits=QueueLimits(events=2))
    client.sink.room = 1
    client.offer(1, 2, 3, 4)
    assert client.behind == []
    assert not client.subscription.live
    client.sink.make_room()
    assert client.sink.data == ["1", "2", "3"]
    assert client.behind == [client.subscription]
    assert client.subscription.position == frame(3).cursor


def test_a_stream_goes_live_only_after_the_replay_has_reached_everything_offered() -> None:
    client = Client(limits=QueueLimits(events=1))
    client.sink.room = 1
    client.offer(1, 2, 3)
    client.sink.make_room()
    client.offer(4)
    assert not client.subscription.go_live(Cursor("life", 3))
    assert client.subscription.write_replayed(frame(3))
    assert client.subscription.write_replayed(frame(4))
    assert client.subscription.go_live(Cursor("life", 4))
    client.offer(4, 5)
    assert client.sink.data == ["1", "2", "3", "4", "5"]


def test_the_queue_is_bounded_in_bytes() -> None:
    client = Client(limits=QueueLimits(bytes=300))
    client.sink.room = 1
    client.offer(1)
    client.offer(2, 3, size=200)
    assert not client.subscription.live


def test_an_empty_queue_takes_a_frame_of_any_size() -> None:
    client = Client(limits=QueueLimits(bytes=300))
    client.sink.room = 1
    client.offer(1)
    client.offer(2, size=5000)
    assert client.subscription.live
    client.sink.make_room()
    assert len(client.sink.data) == 2


def test_replayed_frames_are_refused_while_the_sink_holds_back() -> None:
    client = Client()
    client.subscription.fall_behind()
    client.sink.room = 1
    assert client.subscription.write_replayed(frame(1))
    assert not client.subscription.write_replayed(frame(2))
    assert client.sink.data == ["1"]


def test_only_events_that_match_types_and_subject_are_written() -> None:
    client = Client(wanted=Filter(types=frozenset({"done", "message"}), subject="job"))
    client.subscription.offer(frame(1, kind="done", subject="job"))
    client.subscription.offer(frame(2, kind="progress", subject="job"))
    client.subscription.offer(frame(3, subject="job"))
    client.subscription.offer(frame(4, kind="done", subject="other"))
    client.subscription.offer(frame(5, kind="done"))
    assert client.sink.data == ["1", "3"]
    assert client.subscription.position == frame(5).cursor
    assert client.subscription.last_id == 3


def test_a_closed_stream_gives_its_reason_and_takes_no_more_frames() -> None:
    client = Client()
    client.subscription.close(CloseReason.DRAIN, retry_ms=1500)
    client.subscription.close(CloseReason.ERROR)
    client.offer(1)
    assert b'retry: 1500\ndata: {"reason":"drain","reconnect":true}' in client.sink.written
    assert client.sink.types == ["stream.close"]
    assert client.sink.ended
    assert client.subscription.close_reason is CloseReason.DRAIN


def test_queued_frames_are_not_written_when_the_stream_closes() -> None:
    client = Client()
    client.sink.room = 1
    client.offer(1, 2)
    client.subscription.close(CloseReason.DRAIN)
    client.sink.make_room()
    assert client.sink.types == ["message", "stream.close"]


def test_a_cut_stream_is_aborted_without_a_close_event() -> None:
    client = Client()
    client.subscription.cut(CloseReason.SLOW)
    assert client.sink.aborted
    assert client.sink.written == b""


def test_no_heartbeat_is_written_while_the_sink_holds_back() -> None:
    client = Client()
    client.sink.room = 1
    client.offer(1)
    client.subscription.heartbeat(at=0)
    assert client.sink.writes == 1
    client.sink.make_room()
    client.subscription.heartbeat(at=0)
    assert client.sink.written.endswith(b"\n\n:\n")


def test_after_leave_nothing_is_written_and_the_callback_is_removed() -> None:
    client = Client()
    client.subscription.leave()
    assert client.sink.on_writable is None
    client.offer(1)
    assert client.sink.written == b""


def test_a_page_that_was_read_before_a_loss_does_not_make_the_stream_live() -> None:
    client = Client()
    client.subscription.fall_behind()
    client.subscription.begin_page()
    client.subscription.fall_behind()
    assert not client.subscription.go_live(Cursor("life", 5))
    client.subscription.begin_page()
    assert client.subscription.go_live(Cursor("life", 5))


def test_a_stream_that_was_offered_another_epoch_goes_live_in_that_epoch() -> None:
    client = Client()
    client.subscription.fall_behind()
    client.subscription.begin_page()
    client.subscription.offer(make_frame(Event("a", "a"), Cursor("next life", 3)))
    assert not client.subscription.go_live(Cursor("life", 5))
    client.subscription.begin_page()
    assert client.subscription.go_live(Cursor("next life", 3))


@pytest.mark.parametrize("offset", [3, 7])
def test_a_frame_of_another_epoch_makes_a_live_stream_fall_behind(offset: int) -> None:
    client = Client()
    client.offer(5)
    client.subscription.offer(make_frame(Event("a", "a"), Cursor("next life", offset)))
    assert client.sink.data == ["5"]
    assert client.behind == [client.subscription]


def test_a_possible_loss_reaches_up_to_where_the_stream_was_last_live() -> None:
    client = Client()
    client.offer(5, 9)
    client.subscription.fall_behind({"user:1": 7, "user:2": 1})
    assert client.subscription.begin_page() == (PossibleLoss("user:1", 7, 9),)
    assert client.subscription.begin_page() == ()


def test_a_complete_channel_has_no_possible_loss() -> None:
    client = Client()
    client.offer(5)
    client.subscription.fall_behind({"user:1": 5})
    assert client.subscription.begin_page() == ()


def test_a_possible_loss_that_was_checked_is_not_checked_again() -> None:
    client = Client()
    client.offer(5)
    client.subscription.fall_behind({"user:1": 3})
    client.subscription.begin_page()
    assert client.subscription.go_live(Cursor("life", 6))
    client.offer(8)
    client.subscription.fall_behind({"user:1": 3})
    assert client.subscription.begin_page() == (PossibleLoss("user:1", 6, 8),)


def test_a_replay_for_a_slow_reader_does_not_count_as_a_check_for_losses() -> None:
    client = Client()
    client.offer(5)
    client.subscription.fall_behind()
    client.subscription.begin_page()
    assert client.subscription.go_live(Cursor("life", 6))
    client.offer(8)
    client.subscription.fall_behind({"user:1": 3})
    assert client.subscription.begin_page() == (PossibleLoss("user:1", 3, 8),)
