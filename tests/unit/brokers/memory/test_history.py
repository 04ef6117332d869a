"""A history counts the size of its entries correctly."""

from datetime import datetime

import pytest

from sse_service.brokers.base import Entry
from sse_service.brokers.memory.history import History, size
from sse_service.model.cursor import Cursor
from sse_service.model.events import Event


def test_an_entry_is_removed_with_the_size_it_was_counted_with() -> None:
    history = History(max_events=10, age_us=1_000_000)
    event = Event("1", "x", time="\u00e9" * 1000)
    counted = history.append(Entry(Cursor("e", 1), event, ("user:1",), size(event)))
    with pytest.raises(ValueError, match="isoformat"):
        # The string grows: CPython caches its UTF-8 form once a parser has asked for it.
        datetime.fromisoformat(event.time or "")
    assert history.drop_oldest() == counted
    assert history.drop_oldest() == 0


def test_surplus_and_expired_entries_are_removed_in_one_append() -> None:
    history = History(max_events=2, age_us=10)
    grown = [history.append(Entry(Cursor("e", at), Event(str(at), "x"), ("c",), 1000 + at)) for at in (1, 2, 3, 50)]
    assert [entry.cursor.offset for entry in history.entries] == [50]
    assert history.floor == 3
    assert sum(grown) == history.drop_oldest()
