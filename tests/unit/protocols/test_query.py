"""The query says where a stream begins and which events it has."""

import pytest
from starlette.datastructures import QueryParams

from sse_service.model.cursor import Cursor
from sse_service.model.events import Event
from sse_service.protocols.query import asks_for_heartbeat_events, read_filter, read_start
from sse_service.streams.filter import Filter
from sse_service.streams.frame import Frame, make_frame
from sse_service.streams.start import Start


def start(query: str = "", *, last_event_id: str = "") -> Start:
    return read_start(QueryParams(query), last_event_id=last_event_id)


def filter_of(query: str) -> Filter | None:
    return read_filter(QueryParams(query))


def frame(kind: str | None = None, subject: str | None = None) -> Frame:
    return make_frame(Event("1", "x", kind, subject), Cursor("life", 1))


def test_a_request_without_parameters_starts_live() -> None:
    assert start() == Start()
    assert start().live


def test_an_empty_last_event_id_is_ignored() -> None:
    assert start("lastEventId=").live


def test_a_valid_last_event_id_is_a_cursor() -> None:
    assert start(last_event_id="life.7.0") == Start(resumes=True, cursor=Cursor("life", 7))


@pytest.mark.parametrize("name", ["lastEventId", "last_event_id", "lastEventID"])
def test_the_last_event_id_can_be_given_in_the_query(name: str) -> None:
    assert start(f"{name}=life.7.0") == Start(resumes=True, cursor=Cursor("life", 7))
    assert start(f"{name}=life.7.0", last_event_id="life.8.0") == Start(resumes=True, cursor=Cursor("life", 8))


@pytest.mark.parametrize("text", ["x", "é", "a" * 300, "life.7", "life.-1.0", "life.99999999999999999999.0"])
def test_an_unreadable_last_event_id_resumes_without_a_cursor(text: str) -> None:
    found = start(last_event_id=text)
    assert found == Start(resumes=True, cursor=None)
    assert not found.live


def test_the_last_event_id_wins_over_since() -> None:
    assert start("since=all", last_event_id="life.7.0").everything is False


@pytest.mark.parametrize(
    ("since", "expected"),
    [
        ("all", Start(everything=True)),
        ("30s", Start(ago_seconds=30)),
        ("10m", Start(ago_seconds=600)),
        ("2h", Start(ago_seconds=7200)),
        ("1d", Start(ago_seconds=86_400)),
        ("life.7.0", Start(resumes=True, cursor=Cursor("life", 7))),
    ],
)
def test_since_is_a_cursor_a_time_or_all(since: str, expected: Start) -> None:
    assert start(f"since={since}") == expected


@pytest.mark.parametrize("since", ["", "10", "10 m", "m", "-1m", "1.5h", "ALL", "١m", "10m%0A", "yesterday"])
def test_an_invalid_since_is_refused_even_with_a_last_event_id(since: str) -> None:
    with pytest.raises(ValueError, match="since must be"):
        start(f"since={since}", last_event_id="life.7.0")


def test_a_second_since_is_refused() -> None:
    with pytest.raises(ValueError, match="since must be given once"):
        start("since=all&since=10m")


def test_without_types_and_subject_there_is_no_filter() -> None:
    assert filter_of("") is None
    assert filter_of("since=all") is None


def test_types_are_compared_as_delivered() -> None:
    found = filter_of("types=done,message,event.open")
    assert found is not None
    assert [kind for kind in ("done", None, "open", "other") if found.wants(frame(kind))] == ["done", None, "open"]


@pytest.mark.parametrize("query", ["types=a&types=b", "types=a,%20b", "types=%20a%20,b", "types=b&types=a,b"])
def test_repeated_types_are_united_and_blanks_are_dropped(query: str) -> None:
    assert filter_of(query) == Filter(types=frozenset({"a", "b"}))


def test_a_subject_is_compared_exactly() -> None:
    found = filter_of("subject=job/1")
    assert found == Filter(subject="job/1")
    assert [found.wants(frame(subject=s)) for s in ("job/1", "job/10", None)] == [True, False, False]


def test_a_second_subject_is_refused() -> None:
    with pytest.raises(ValueError, match="subject must be given once"):
        filter_of("subject=a&subject=b")


@pytest.mark.parametrize(
    "query",
    ["types=", "types=a,,b", "types=a,", "types=a%0Ab", "types=a%0A", "types=%20", "subject=", "subject=a%C2%9Fb"],
)
def test_empty_names_and_control_characters_are_refused(query: str) -> None:
    with pytest.raises(ValueError, match="must not be empty and must not contain control characters"):
        filter_of(query)


@pytest.mark.parametrize("query", ["heartbeat=", "heartbeat=comment", "heartbeat=event&heartbeat=event"])
def test_heartbeats_are_events_or_the_query_is_refused(query: str) -> None:
    assert asks_for_heartbeat_events(QueryParams("heartbeat=event"))
    assert not asks_for_heartbeat_events(QueryParams("since=all"))
    with pytest.raises(ValueError, match="heartbeat"):
        asks_for_heartbeat_events(QueryParams(query))
