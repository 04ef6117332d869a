"""A duration is a number with a unit."""

import pytest

from sse_service.model import durations


@pytest.mark.parametrize(
    ("text", "seconds"), [("0s", 0), ("30s", 30), ("10m", 600), ("2h", 7200), ("1d", 86_400), ("007m", 420)]
)
def test_a_number_with_a_unit_is_a_duration(text: str, seconds: int) -> None:
    assert durations.parse(text) == seconds


@pytest.mark.parametrize(
    "text", ["", "10", "m", "10 m", " 10m", "10m\n", "-1m", "1.5h", "1w", "10M", "١m", "9" * 10 + "s"]
)
def test_other_texts_are_not_durations(text: str) -> None:
    assert durations.parse(text) is None
