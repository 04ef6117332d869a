"""An entry leaves a history with the size that it came with."""

from datetime import datetime

import pytest

from sse_service.brokers.base import Entry
from sse_service.brokers.memory.history import History, size
from sse_service.model.cursor import Cursor
from sse_service.model.events import Event


def test_a_string_that_grew_meanwhile_leaves_with_the_size_that_was_counted() -> None:
    history = History(max_events=10, age_us=1_000_000)
    event = Event("1", "x", time="\u00e9" * 1000)
    counted = history.append(Entry(Cursor("e", 1), event, ("user:1",), size(event)))
    with pytest.raises(ValueError, match="isoformat"):
        # CPython keeps the UTF-8 of a string after a parser has asked for it.
        datetime.fromisoformat(event.time or "")
    assert history.drop_oldest() == counted
    assert history.drop_oldest() == 0


def test_too_many_entries_and_too_old_entries_leave_together() -> None:
    history = History(max_events=2, age_us=10)
    grown = [history.append(Entry(Cursor("e", at), Event(str(at), "x"), ("c",), 1000 + at)) for at in (1, 2, 3, 50)]
    assert [entry.cursor.offset for entry in history.entries] == [50]
    assert history.floor == 3
    assert sum(grown) == history.drop_oldest()
