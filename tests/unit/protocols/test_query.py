"""Where a stream begins, and which of its events the client wants, as the query says."""

import pytest
from starlette.datastructures import QueryParams

from sse_service.model.cursor import Cursor
from sse_service.model.events import Event
from sse_service.protocols.query import read_filter, read_start
from sse_service.streams.filter import Filter
from sse_service.streams.frame import Frame, make_frame
from sse_service.streams.start import Start


def start(query: str = "", *, last_event_id: str = "") -> Start:
    return read_start(QueryParams(query), last_event_id=last_event_id)


def wanted(query: str) -> Filter | None:
    return read_filter(QueryParams(query))


def frame(kind: str | None = None, subject: str | None = None) -> Frame:
    return make_frame(Event("1", "x", kind, subject), Cursor("life", 1))


def test_a_client_that_says_nothing_starts_live() -> None:
    assert start() == Start()
    assert start().live


def test_an_empty_id_is_none() -> None:
    assert start("lastEventId=").live


def test_an_id_that_can_be_read_is_a_cursor() -> None:
    assert start(last_event_id="life.7.0") == Start(resumes=True, cursor=Cursor("life", 7))


@pytest.mark.parametrize("name", ["lastEventId", "last_event_id", "lastEventID"])
def test_a_client_that_cannot_set_the_header_gives_its_id_in_the_query(name: str) -> None:
    assert start(f"{name}=life.7.0") == Start(resumes=True, cursor=Cursor("life", 7))
    assert start(f"{name}=life.7.0", last_event_id="life.8.0") == Start(resumes=True, cursor=Cursor("life", 8))


@pytest.mark.parametrize("text", ["x", "é", "a" * 300, "life.7", "life.-1.0", "life.99999999999999999999.0"])
def test_an_id_that_cannot_be_read_resumes_without_a_cursor(text: str) -> None:
    found = start(last_event_id=text)
    assert found == Start(resumes=True, cursor=None)
    assert not found.live


def test_an_id_wins_over_since() -> None:
    assert start("since=all", last_event_id="life.7.0").everything is False


@pytest.mark.parametrize(
    ("since", "meant"),
    [
        ("all", Start(everything=True)),
        ("30s", Start(ago_seconds=30)),
        ("10m", Start(ago_seconds=600)),
        ("2h", Start(ago_seconds=7200)),
        ("1d", Start(ago_seconds=86_400)),
        ("life.7.0", Start(resumes=True, cursor=Cursor("life", 7))),
    ],
)
def test_since_is_a_cursor_a_time_or_all(since: str, meant: Start) -> None:
    assert start(f"since={since}") == meant


@pytest.mark.parametrize("since", ["", "10", "10 m", "m", "-1m", "1.5h", "ALL", "١m", "10m%0A", "yesterday"])
def test_any_other_since_is_refused_also_beside_an_id(since: str) -> None:
    with pytest.raises(ValueError, match="since must be"):
        start(f"since={since}", last_event_id="life.7.0")


def test_a_second_since_is_refused() -> None:
    with pytest.raises(ValueError, match="since must be given once"):
        start("since=all&since=10m")


def test_without_queries_all_events_are_wanted() -> None:
    assert wanted("") is None
    assert wanted("since=all") is None


def test_types_are_names_as_delivered() -> None:
    found = wanted("types=done,message,event.open")
    assert found is not None
    assert [kind for kind in ("done", None, "open", "other") if found.wants(frame(kind))] == ["done", None, "open"]


@pytest.mark.parametrize("query", ["types=a&types=b", "types=a,%20b", "types=%20a%20,b", "types=b&types=a,b"])
def test_several_types_are_united_and_blanks_around_them_dropped(query: str) -> None:
    assert wanted(query) == Filter(types=frozenset({"a", "b"}))


def test_a_subject_is_one_and_is_compared_whole() -> None:
    found = wanted("subject=job/1")
    assert found == Filter(subject="job/1")
    assert [found.wants(frame(subject=s)) for s in ("job/1", "job/10", None)] == [True, False, False]


def test_a_second_subject_is_refused() -> None:
    with pytest.raises(ValueError, match="subject must be given once"):
        wanted("subject=a&subject=b")


@pytest.mark.parametrize(
    "query", ["types=", "types=a,,b", "types=a,", "types=a%0Ab", "types=%20", "subject=", "subject=a%C2%9Fb"]
)
def test_empty_names_and_control_characters_are_refused(query: str) -> None:
    with pytest.raises(ValueError, match="must not be empty and must not contain control characters"):
        wanted(query)
