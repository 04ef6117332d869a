"""Values compare by their fields, and have slots."""

import dataclasses

from sse_service.model.values import value


@value
class Point:
    x: int
    y: int = 0


def test_values_with_equal_fields_are_equal_and_hash_alike() -> None:
    assert Point(1) == Point(1, 0)
    assert Point(1) != Point(1, 1)
    assert len({Point(1), Point(1, 0), Point(2)}) == 2


def test_a_changed_copy_leaves_the_original_unchanged() -> None:
    first = Point(1, 2)
    assert dataclasses.replace(first, x=3) == Point(3, 2)
    assert first == Point(1, 2)


def test_a_value_has_no_dict() -> None:
    assert not hasattr(Point(1), "__dict__")
