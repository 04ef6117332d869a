"""A client narrows its own events, and never widens them."""

import pytest

from sse_service.model.cursor import Cursor
from sse_service.model.events import Event
from sse_service.protocols.sse import frames
from sse_service.protocols.sse.frames import Frame
from sse_service.streams.filter import Filter, read


def frame(kind: str | None = None, subject: str | None = None) -> Frame:
    return frames.frame(Event("1", "x", kind, subject), Cursor("life", 1))


def test_without_queries_nothing_is_narrowed() -> None:
    assert read(types=None, subject=None) is None


def test_types_are_names_as_delivered() -> None:
    narrowing = read(types="done,message,event.open", subject=None)
    assert narrowing is not None
    wanted = [kind for kind in ("done", None, "open", "other") if narrowing.wants(frame(kind))]
    assert wanted == ["done", None, "open"]


def test_a_subject_is_one_and_is_compared_whole() -> None:
    narrowing = read(types=None, subject="job/1")
    assert narrowing == Filter(subject="job/1")
    assert [narrowing.wants(frame(subject=s)) for s in ("job/1", "job/10", None)] == [True, False, False]


@pytest.mark.parametrize(
    ("types", "subject"), [("", None), ("a,,b", None), ("a,", None), ("a\nb", None), (None, ""), (None, "a\x9fb")]
)
def test_empty_names_and_control_characters_are_refused(types: str | None, subject: str | None) -> None:
    with pytest.raises(ValueError, match="must"):
        read(types=types, subject=subject)
