"""The local clock is compared with AWS's."""

import pytest

from sse_service.doctor.clock import check_clock, clock_skew
from sse_service.doctor.report import Level

NOON = "Mon, 05 Jan 2026 12:00:00 GMT"
NOON_SECONDS = 1_767_614_400.0


@pytest.mark.parametrize(
    ("seconds", "level", "word"),
    [
        (0.0, Level.OK, "within 1 s"),
        (-4.6, Level.OK, "within 5 s"),
        (6.0, Level.WARN, "6 s ahead of"),
        (-6.0, Level.WARN, "6 s behind"),
        (300.0, Level.WARN, "300 s"),
        (-301.0, Level.FAIL, "behind AWS's"),
        (None, Level.SKIP, "date"),
    ],
)
def test_the_level_depends_on_the_size_of_the_skew(seconds: float | None, level: Level, word: str) -> None:
    found = check_clock(seconds)
    assert found.level is level
    assert word in found.text


@pytest.mark.parametrize(
    ("sent", "received", "expected"),
    [(0.2, 0.3, 0.0), (-0.1, 0.5, 0.0), (1.5, 1.6, 0.5), (61.0, 62.0, 60.0), (-31.0, -30.0, -30.0)],
)
def test_a_slow_call_and_whole_seconds_are_no_skew(sent: float, received: float, expected: float) -> None:
    found = clock_skew(NOON, sent=NOON_SECONDS + sent, received=NOON_SECONDS + received)
    assert found == pytest.approx(expected)


def test_an_unreadable_date_is_no_skew() -> None:
    assert clock_skew("yesterday", sent=0, received=1) is None
