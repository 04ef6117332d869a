"""Starts the site as a process of its own."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.integration.process import Process

NOWHERE = "http://127.0.0.1:1"
"""Nobody listens there."""


@contextmanager
def django_site(
    directory: Path, *, port: int = 0, push_url: str = NOWHERE, admin_url: str = NOWHERE, seconds: int = 900
) -> Iterator[tuple[Process, str]]:
    """Run the site, and return its process and its origin. Sessions outlive a restart in the same directory."""
    given = (str(directory), str(port), push_url, admin_url, str(seconds))
    with Process("tests.e2e.django_site", *given, env={"NO_PROXY": "127.0.0.1"}) as process:
        yield process, process.wait_for(r"serving on (\S+)")[1]
