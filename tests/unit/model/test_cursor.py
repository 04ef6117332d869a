"""Cursors are formatted and parsed, and their gaps are found."""

import pytest

from sse_service.model.cursor import MAX_LENGTH, Cursor, digest, find_gap, parse
from sse_service.model.reasons import GapReason

NOW = Cursor("life", 1_790_000_000_000_000)


def test_a_cursor_survives_formatting_and_parsing() -> None:
    cursor = Cursor("life-1_A", 1_790_000_000_000_000, digest("event ✓"))
    assert parse(str(cursor)) == cursor
    assert len(str(cursor)) <= MAX_LENGTH


@pytest.mark.parametrize("text", ["", "x", "a.b.0", "a.1", "a.1.g", "a.-1.0", "a.١.0", "é.1.0", "a.1.0\n", "a" * 9_999])
def test_other_texts_are_not_cursors(text: str) -> None:
    assert parse(text) is None


@pytest.mark.parametrize(
    ("cursor", "floor", "reason"),
    [
        (Cursor("life", NOW.offset), 0, None),
        (Cursor("life", NOW.offset - 5), NOW.offset - 5, None),
        (Cursor("life", NOW.offset - 5), NOW.offset - 4, GapReason.TRIMMED),
        (Cursor("life", NOW.offset - 10_000_000), 0, None),
        (Cursor("life", NOW.offset - 10_000_001), 0, GapReason.EXPIRED),
        (Cursor("life", NOW.offset + 1), 0, GapReason.UNKNOWN),
        (Cursor("other", NOW.offset), 0, GapReason.EPOCH),
        (None, 0, GapReason.UNKNOWN),
    ],
)
def test_a_cursor_is_a_gap_outside_its_epoch_floor_position_and_age(
    cursor: Cursor | None, floor: int, reason: GapReason | None
) -> None:
    assert find_gap(cursor, position=NOW, floor=floor, age_seconds=10) is reason
