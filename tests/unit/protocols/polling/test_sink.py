"""What one answer holds, and where its cursor stands."""

from __future__ import annotations

import json
import math
from typing import Any, cast

import pytest

from sse_service.http.uvicorn.transport import StreamTransport
from sse_service.model.cursor import Cursor
from sse_service.model.events import Event
from sse_service.model.principal import Principal
from sse_service.model.reasons import CloseReason, GapReason
from sse_service.protocols.polling.answer import ENCODING_KEY
from sse_service.protocols.polling.sink import MAX_BYTES, MAX_EVENTS, PollSink
from sse_service.streams import service_events
from sse_service.streams.backlog import QueueLimits
from sse_service.streams.filter import Filter
from sse_service.streams.frame import Frame, make_frame
from sse_service.streams.start import Start
from sse_service.streams.subscription import Subscription


class Connection:
    """Stands for the transport."""

    def __init__(self) -> None:
        self.wakes = 0
        self.aborted = False

    def wake(self) -> None:
        self.wakes += 1

    def abort(self) -> None:
        self.aborted = True


class Poll:
    """A greeted poll that is live at offset 0."""

    def __init__(self, *, wanted: Filter | None = None) -> None:
        self.connection = Connection()
        self.sink = PollSink(cast("StreamTransport", self.connection))
        self.subscription = Subscription(
            sink=self.sink,
            principal=Principal("1", (), 0),
            channels=["user:1"],
            start=Start(),
            filter=wanted,
            limits=QueueLimits(),
            on_behind=lambda _: None,
            opened_at=0,
            ends_at=math.inf,
        )
        self.subscription.write_service_event(
            service_events.ready(resumed=True, user="1", retry_ms=1, cursor=None),
            at=0,
        )
        self.subscription.replay_from(Cursor("life", 0))

    def go_live(self) -> None:
        assert self.subscription.go_live(Cursor("life", 0))
        self.subscription.write_service_event(service_events.position(Cursor("life", 0)), at=0)

    def offer(self, *offsets: int, **fields: Any) -> None:
        for offset in offsets:
            self.subscription.offer(frame(offset, **fields))

    def answer(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.sink.answer(self.subscription))
        return found


def live_poll(wanted: Filter | None = None) -> Poll:
    poll = Poll(wanted=wanted)
    poll.go_live()
    return poll


def frame(offset: int, *, kind: str | None = None, size: int = 1) -> Frame:
    return make_frame(Event(str(offset), "x" * size, kind), Cursor("life", offset))


def test_an_answer_has_each_field_of_the_contract() -> None:
    poll = live_poll()
    poll.offer(1)
    poll.offer(2, kind="open")
    assert poll.answer() == {
        "events": [
            {"id": "life.1.0", "type": None, "data": "x"},
            {"id": "life.2.0", "type": "event.open", "data": "x"},
        ],
        "cursor": "life.2.0",
        "gap": None,
        "resumed": True,
        "user": "1",
        "more": False,
    }


def test_all_polls_share_the_bytes_of_an_event() -> None:
    one, other, event = live_poll(), live_poll(), frame(1)
    one.subscription.offer(event)
    coded = event.encodings[ENCODING_KEY]
    other.subscription.offer(event)
    assert event.encodings[ENCODING_KEY] is coded
    assert one.answer() == other.answer()


def test_an_answer_is_bounded_in_events_and_its_cursor_stands_before_the_next() -> None:
    poll = live_poll()
    poll.offer(*range(1, MAX_EVENTS + 3))
    answer = poll.answer()
    assert len(answer["events"]) == MAX_EVENTS
    assert answer["cursor"] == f"life.{MAX_EVENTS}.0"
    assert answer["more"] is True


def test_an_answer_that_just_holds_all_events_says_that_there_are_no_more() -> None:
    poll = live_poll()
    poll.offer(*range(1, MAX_EVENTS + 1))
    answer = poll.answer()
    assert len(answer["events"]) == MAX_EVENTS
    assert answer["more"] is False


def test_an_answer_is_bounded_in_bytes() -> None:
    poll = live_poll()
    poll.offer(1, 2, size=MAX_BYTES // 2 - 200)
    poll.offer(3, size=500)
    poll.offer(4)
    body = poll.sink.answer(poll.subscription)
    assert len(body) < MAX_BYTES + 300
    answer = json.loads(body)
    assert (answer["cursor"], answer["more"]) == ("life.2.0", True)


def test_an_empty_answer_takes_an_event_of_any_size() -> None:
    poll = live_poll()
    poll.offer(1, size=2 * MAX_BYTES)
    poll.offer(2)
    answer = poll.answer()
    assert [event["id"] for event in answer["events"]] == ["life.1.0"]
    assert (answer["cursor"], answer["more"]) == ("life.1.0", True)


def test_events_that_are_not_for_this_client_move_the_cursor_and_are_no_news() -> None:
    poll = live_poll(Filter(types=frozenset({"done"})))
    poll.offer(1, 2, kind="other")
    assert not poll.sink.has_news
    answer = poll.answer()
    assert (answer["events"], answer["cursor"]) == ([], "life.2.0")


def test_an_event_of_a_large_crowd_that_is_still_to_be_written_is_in_the_answer() -> None:
    poll = live_poll()
    assert poll.subscription.offer(frame(1), later=True)
    answer = poll.answer()
    assert [event["id"] for event in answer["events"]] == ["life.1.0"]
    assert answer["cursor"] == "life.1.0"


def test_an_answer_in_the_middle_of_a_replay_says_that_there_is_more() -> None:
    poll = Poll()
    poll.subscription.write_replayed(frame(1))
    poll.offer(5)
    answer = poll.answer()
    assert [event["id"] for event in answer["events"]] == ["life.1.0"]
    assert (answer["cursor"], answer["more"]) == ("life.1.0", True)


def test_a_poll_that_lost_its_place_answers_with_no_cursor_beyond_what_it_wrote() -> None:
    poll = live_poll(Filter(types=frozenset({"done"})))
    poll.offer(7, kind="other")
    poll.subscription.fall_behind({"user:1": 3})
    answer = poll.answer()
    assert (answer["cursor"], answer["more"]) == ("life.0.0", True)


@pytest.mark.parametrize("reason", GapReason)
def test_a_gap_is_told_with_its_reason_and_moves_the_cursor(reason: GapReason) -> None:
    poll = Poll()
    poll.subscription.write_service_event(service_events.gap(reason, Cursor("new", 9)), at=0)
    assert poll.sink.has_news
    answer = poll.answer()
    assert (answer["gap"], answer["cursor"]) == (reason, "new.9.0")


@pytest.mark.parametrize("reason", CloseReason)
def test_a_poll_that_is_closed_while_it_waits_keeps_its_cursor_and_has_no_more(reason: CloseReason) -> None:
    poll = live_poll()
    poll.subscription.close(reason)
    answer = poll.answer()
    assert (answer["events"], answer["cursor"], answer["more"]) == ([], "life.0.0", False)
    assert poll.subscription.close_reason == reason


def test_a_poll_that_is_cut_before_its_answer_is_answered_and_after_it_loses_its_connection() -> None:
    poll = live_poll()
    poll.offer(*range(1, MAX_EVENTS + 3))
    assert poll.subscription.paused
    poll.subscription.cut(CloseReason.REVOKED)
    assert not poll.connection.aborted
    assert len(poll.answer()["events"]) == MAX_EVENTS
    poll.subscription.cut(CloseReason.SLOW)
    assert poll.connection.aborted


def test_an_answered_poll_takes_no_more_events() -> None:
    poll = live_poll()
    poll.offer(1)
    assert poll.answer()["events"]
    wakes = poll.connection.wakes
    poll.offer(2)
    assert poll.connection.wakes == wakes
    assert not poll.sink.has_news


def test_a_poll_whose_peer_takes_no_byte_of_the_answer_is_counted_as_slow() -> None:
    poll = live_poll()
    poll.offer(1)
    poll.answer()
    poll.subscription.cut(CloseReason.SLOW)
    assert poll.subscription.close_reason is CloseReason.SLOW
