"""Replaces the part of a page that a program writes, between two marks."""

from __future__ import annotations

import re


def _between(name: str) -> re.Pattern[str]:
    return re.compile(rf"(<!-- {name}: [^>]*-->)\n.*?(<!-- end of {name} -->)", re.DOTALL)


def filled(page: str, name: str, text: str) -> str:
    """The page with this text between the marks of this name. A page without them stays as it is."""
    return _between(name).sub(lambda match: f"{match[1]}\n\n{text}\n\n{match[2]}", page)


def is_marked(page: str, name: str) -> bool:
    """Whether the page has the marks."""
    return _between(name).search(page) is not None
