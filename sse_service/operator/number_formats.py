"""Formats numbers for the operator's page."""

from __future__ import annotations


def count(value: float) -> str:
    """Format a whole number, such as 1,234."""
    return f"{value:,.0f}"


def rate(value: float) -> str:
    """Format a number with one decimal, such as 1,234.5."""
    return f"{value:,.1f}"


def delay(seconds: float) -> str:
    """Format a delay, such as 25 ms or 2.5 s."""
    return f"{seconds * 1000:.0f} ms" if seconds < 1 else f"{seconds:g} s"


def duration(seconds: float) -> str:
    """Format a duration, such as 42 s, 7 min, 3.5 h or 2.1 d."""
    if seconds < 60:
        return f"{seconds:.0f} s"
    if seconds < 3600:
        return f"{seconds / 60:.0f} min"
    if seconds < 86_400:
        return f"{seconds / 3600:.1f} h"
    return f"{seconds / 86_400:.1f} d"
