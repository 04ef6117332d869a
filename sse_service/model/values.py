"""Values that are made at every event, or for every stream."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeVar, dataclass_transform

T = TypeVar("T")


@dataclass_transform(frozen_default=True)
def value(cls: type[T]) -> type[T]:
    """A frozen dataclass with slots for who checks types, and there alone: at run time nothing hinders a write.

    A dataclass that is frozen at run time too takes four times as long to make: each of its fields is set by a call
    of ``object.__setattr__``.
    """
    return dataclass(slots=True, unsafe_hash=True)(cls)
