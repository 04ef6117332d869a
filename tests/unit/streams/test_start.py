"""Where a stream begins."""

import pytest

from sse_service.model.cursor import Cursor
from sse_service.streams.start import Start, read


def test_a_client_that_says_nothing_starts_live() -> None:
    start = read(last_event_id=None, since=None)
    assert start == Start()
    assert start.live


def test_an_empty_id_is_none() -> None:
    assert read(last_event_id="", since=None).live


def test_an_id_that_can_be_read_is_a_cursor() -> None:
    assert read(last_event_id="life.7.0", since=None) == Start(resumes=True, cursor=Cursor("life", 7))


@pytest.mark.parametrize("text", ["x", "é", "a" * 300, "life.7", "life.-1.0", "life.99999999999999999999.0"])
def test_an_id_that_cannot_be_read_resumes_without_a_cursor(text: str) -> None:
    start = read(last_event_id=text, since=None)
    assert start == Start(resumes=True, cursor=None)
    assert not start.live


def test_an_id_wins_over_since() -> None:
    assert read(last_event_id="life.7.0", since="all").held is False


@pytest.mark.parametrize(
    ("since", "start"),
    [
        ("all", Start(held=True)),
        ("30s", Start(ago_seconds=30)),
        ("10m", Start(ago_seconds=600)),
        ("2h", Start(ago_seconds=7200)),
        ("1d", Start(ago_seconds=86_400)),
        ("life.7.0", Start(resumes=True, cursor=Cursor("life", 7))),
    ],
)
def test_since_is_a_cursor_a_time_or_all(since: str, start: Start) -> None:
    assert read(last_event_id=None, since=since) == start


@pytest.mark.parametrize("since", ["", "10", "10 m", "m", "-1m", "1.5h", "ALL", "١m", "10m\n", "yesterday"])
def test_any_other_since_is_refused_also_beside_an_id(since: str) -> None:
    with pytest.raises(ValueError, match="since must be"):
        read(last_event_id="life.7.0", since=since)
