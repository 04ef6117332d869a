"""Text that comes from outside, made harmless."""

from __future__ import annotations


def printable(text: str) -> str:
    """Escape everything that could control a terminal or add a line."""
    return "".join(char if char.isprintable() else ascii(char)[1:-1] for char in text)
