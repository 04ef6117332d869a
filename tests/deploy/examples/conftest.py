"""The admin port that the examples of one file share."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.deploy.examples.admin_port import AdminPort


@pytest.fixture(scope="module")
def admin() -> Iterator[AdminPort]:
    with AdminPort() as port:
        yield port
