"""Durations as people write them: ``30s``, ``10m``, ``2h``, ``1d``."""

from __future__ import annotations

import re

_FORM = re.compile(r"(\d{1,9})([smhd])", re.ASCII)
_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86_400}


def parse(text: str) -> int | None:
    """Parse a duration into seconds; None if the text is not one."""
    match = _FORM.fullmatch(text)
    return int(match[1]) * _SECONDS[match[2]] if match else None
