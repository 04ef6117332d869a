"""The decorator for values that are created for every event or every stream."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeVar, dataclass_transform

T = TypeVar("T")


@dataclass_transform(frozen_default=True)
def value(cls: type[T]) -> type[T]:
    """Make a dataclass with slots that is frozen for type checkers only.

    With ``frozen=True``, creating an instance takes four times as long, because it sets each field with
    ``object.__setattr__``.
    """
    return dataclass(slots=True, unsafe_hash=True)(cls)
