"""The names of all settings: for the documentation's tables, and to find variables that are no setting."""

from __future__ import annotations

from collections.abc import Mapping
from difflib import get_close_matches
from typing import Any

from pydantic import SecretStr

from sse_service.settings.settings import PREFIX, Settings


def unknown_variables(environ: Mapping[str, str]) -> list[str]:
    """List the variables in the environment that start with SSE_ and are not settings."""
    known = {PREFIX + name.upper() for name in Settings.model_fields}
    return sorted(name for name in environ if name.upper().startswith(PREFIX) and name.upper() not in known)


def closest_setting(variable: str) -> str | None:
    """Return the setting whose name a variable probably misspells; None if no name is close."""
    # Compared without the prefix, which would make all names alike.
    names = [name.upper() for name in Settings.model_fields]
    found = get_close_matches(variable.upper().removeprefix(PREFIX), names, n=1, cutoff=0.8)
    return PREFIX + found[0] if found else None


def table() -> list[tuple[str, str, str]]:
    """List the settings: the variable, its default (empty if there is none), and its meaning."""
    return [
        (PREFIX + name.upper(), _default(field.default), field.description or "")
        for name, field in Settings.model_fields.items()
    ]


def _default(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, SecretStr):
        return value.get_secret_value()
    if isinstance(value, tuple):
        return ",".join(value)
    return "" if value is None else str(value)
